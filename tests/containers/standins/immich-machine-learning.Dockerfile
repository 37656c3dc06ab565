ARG IMAGE
FROM ${IMAGE}
COPY immich_machine_learning.py /immich_machine_learning.py
# Ill after a minute and a half, as the real one.
HEALTHCHECK --interval=2s --start-period=90s CMD python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:3003/ping')"
CMD ["python", "/immich_machine_learning.py"]
