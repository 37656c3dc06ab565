ARG IMAGE
FROM ${IMAGE}
COPY immich_machine_learning.py /immich_machine_learning.py
HEALTHCHECK --interval=2s CMD python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:3003/ping')"
CMD ["python", "/immich_machine_learning.py"]
