"""Keys and certificates of the vectors. They are in the repository for everybody to read and protect nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

DIRECTORY = Path(__file__).parent / "keys"
_ISSUER = "An authority for tests, trusted by nobody"


def key(name: str) -> rsa.RSAPrivateKey:
    """The key of that name; made if there is none."""
    path = DIRECTORY / f"{name}-for-tests-only.key.pem"
    if not path.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    found = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(found, rsa.RSAPrivateKey)
    return found


def certificate(name: str, subject: str, *, by: str = "authority", until: int = 2120) -> str:
    """A certificate (PEM) for the key of that name, signed by the test authority; made if there is none."""
    path = DIRECTORY / f"{name}-{by}-{until}.pem"
    if not path.exists():
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        issuer = own if by == "itself" else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _ISSUER)])
        subject_key = key(name.partition("-as-")[0])
        built = (
            x509.CertificateBuilder()
            .subject_name(own if name != "authority" else issuer)
            .issuer_name(issuer)
            .public_key(subject_key.public_key())
            .serial_number(len(path.name))
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(until, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=name == "authority", path_length=None), critical=True)
            .sign(subject_key if by == "itself" else key(by), SHA256())
        )
        path.write_bytes(built.public_bytes(Encoding.PEM))
    return path.read_text()


def authority() -> str:
    """The certificate of the test authority."""
    return certificate("authority", _ISSUER)
