"""
Images for a machine with a Docker engine but no registry.

An image that cannot be pulled is built here, from Debian's packages and PyPI, under the official name. It is built
once; `docker rmi` removes it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).with_name("stand_ins")
DEBIAN = "claude-batch-stand-in/debian"
MIRROR = "http://deb.debian.org/debian"
#: The label of every stand-in; its value describes it.
LABEL = "stand-in"
#: This machine's own certificate authorities; a build behind a TLS proxy needs them.
OWN_AUTHORITIES = Path("/usr/local/share/ca-certificates")

#: The folder of each stand-in, by the official name of its image.
IMAGES = {
    "apache/airflow:3.3.2-python3.12": "airflow",
    "postgres:16": "postgres",
    "redis:7.2-bookworm": "redis",
    "motoserver/moto:5.2.5": "moto",
}


def provide() -> dict[str, str]:
    """Pull each image, or build its stand-in. Returns the descriptions of the stand-ins by official name."""
    for image, folder in IMAGES.items():
        if not _is_here(image) and not _succeeds("pull", "--quiet", image):
            _debian()
            _build(image, FOLDER / folder)
    return {image: what for image in IMAGES if (what := _label(image))}


def _build(image: str, folder: Path) -> None:
    arguments = {"UV_VERSION": version("uv"), "MOTO_VERSION": version("moto")}
    flags = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    label = f"{LABEL}=Debian's packages, see {folder.relative_to(FOLDER.parents[2])}"
    _docker("build", "--tag", image, "--label", label, *flags, str(folder))


def _debian() -> None:
    """Build a bare Debian image with the certificates that this machine trusts."""
    if _is_here(DEBIAN):
        return
    if not shutil.which("debootstrap"):
        raise SystemExit("No registry is reachable, and debootstrap is not installed: apt-get install debootstrap.")
    with tempfile.TemporaryDirectory() as root:
        subprocess.run(
            ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", root, MIRROR],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        if OWN_AUTHORITIES.is_dir():
            shutil.copytree(OWN_AUTHORITIES, f"{root}{OWN_AUTHORITIES}", dirs_exist_ok=True)
        subprocess.run(["chroot", root, "update-ca-certificates"], check=True, stdout=subprocess.DEVNULL)
        with subprocess.Popen(["tar", "--directory", root, "--create", "."], stdout=subprocess.PIPE) as tree:
            certificates = "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt"
            subprocess.run(["docker", "import", "--change", certificates, "-", DEBIAN], check=True, stdin=tree.stdout)


def _is_here(image: str) -> bool:
    return _succeeds("image", "inspect", image)


def _label(image: str) -> str:
    return _docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', image).strip()


def _succeeds(*words: str) -> bool:
    return subprocess.run(["docker", *words], capture_output=True, check=False).returncode == 0


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, stdout=subprocess.PIPE, text=True).stdout
