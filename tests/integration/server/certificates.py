"""A certificate authority of the tests, for certificates that no honest authority would give."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A key and its certificate, in files."""

    key: Path
    chain: Path

    def read(self) -> tuple[bytes, bytes]:
        return self.key.read_bytes(), self.chain.read_bytes()


class Ca:
    """Signs. Its own certificate is `root`; with another `signer` it is what that one signed."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = _builder(self._name, self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        # Python 3.13 and newer hold certificates strictly to RFC 5280.
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False)
        made = made.add_extension(_SIGNS, True)
        self.root = folder / f"{name}.pem"
        self.root.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        folder: str,
        *names: str,
        common_name: str = "client",
        starts: datetime.timedelta = -DAY,
        ends: datetime.timedelta = DAY,
        signer: Pair | None = None,
    ) -> Pair:
        """A certificate with these names: "spiffe://..." a URI, "mail:..." an address, an IP, else DNS.

        `signer` is another certificate that signs it, though it may not.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        issuer, signing = self._name, self._key
        if signer is not None:
            signing = serialization.load_pem_private_key(signer.key.read_bytes(), None)  # type: ignore[assignment]
            issuer = x509.load_pem_x509_certificate(signer.chain.read_bytes()).subject
        made = _builder(subject, issuer, key, starts, ends)
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(_general(names)), False)
        made = made.add_extension(x509.BasicConstraints(False, None), True)
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), False)
        chain = made.sign(signing, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        if signer is not None:
            chain += signer.chain.read_bytes()
        where = self.folder / folder
        where.mkdir(parents=True, exist_ok=True)
        pair = Pair(where / "tls.key", where / "tls.crt")
        pair.chain.write_bytes(chain)
        kind, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, clear))
        return pair


def _general(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        if "://" in name and not name.startswith("mail:"):
            found.append(x509.UniformResourceIdentifier(name))
        elif name.startswith("mail:"):
            found.append(x509.RFC822Name(name.removeprefix("mail:")))
        elif name.replace(".", "").isdigit():
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        else:
            found.append(x509.DNSName(name))
    return found


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Any, starts: datetime.timedelta = -DAY, ends: datetime.timedelta = DAY
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts)
        .not_valid_after(now + ends)
    )
