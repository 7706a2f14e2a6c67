"""An authority that only its tests trust, and certificates of servers and clients, made by the openssl program."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, in PEM."""

    certificate: Path
    key: Path


class PrivateCa:
    """Authority with a certificate of its own."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("openssl")
        if program is None:
            pytest.skip("openssl is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self._program, self._folder = program, folder
        self.file, self._key = folder / "ca.pem", folder / "ca.key"
        self._make("ca", "ca.pem", "ca.key", "-addext", "basicConstraints=critical,CA:TRUE")

    def issue(self, name: str) -> Certificate:
        """Issue a certificate for 127.0.0.1, which servers and clients may use."""
        signed = ("-CA", str(self.file), "-CAkey", str(self._key))
        names = ("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=CA:FALSE")
        self._make(name, f"{name}.pem", f"{name}.key", *signed, *names)
        return Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")

    def _make(self, name: str, certificate: str, key: str, *options: str) -> None:
        command = [self._program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "2", "-subj", f"/CN={name}", *options]
        files = ("-keyout", str(self._folder / key), "-out", str(self._folder / certificate))
        subprocess.run([*command, *files], check=True, capture_output=True, timeout=30)
