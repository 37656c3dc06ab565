"""The images by themselves."""

from tests.containers.engine import IMAGE, PREFIX, docker, run


def test_the_database_has_zhparsers_library_with_its_links(images):
    """ldconfig complains of a library under three names, which it is when links were followed."""
    done = run("docker", "run", "--rm", "--entrypoint", "ldconfig", f"{PREFIX}/immich-postgres-zhparser:14")
    assert not done.stdout
    assert not done.stderr


def test_ours_runs_as_anybody_who_may_not_write(images):
    """Another user than the image's own, a read-only root and no capabilities; weights may be fetched all the same."""
    anybody = ("--user", "1026:100", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
    script = "immich-indexer --version && immich-gateway --version && touch /models/clip/x /models/insightface/x"
    assert docker("run", "--rm", *anybody, IMAGE, "sh", "-c", script).count("version") == 2


def test_ours_has_no_cuda(images):
    assert docker("run", "--rm", IMAGE, "python", "-c", "import torch; print(torch.version.cuda)") == "None"
