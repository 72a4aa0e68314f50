"""C2PA manifests: signed statements in a picture's file of how it came about.

They are written and read by c2pa-python, the extra `dmix-data[c2pa]`, without asking any server: no time stamp, no
revocation, no thumbnail. A manifest is valid where its signature fits the certificate in it and the picture; whether
that certificate is to be trusted, the reader decides. Two signatures of one picture differ, so that signed files are
not part of what a set's settings decide.
"""

import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from dmix_core.errors import DmixError, WriteError
from dmix_core.files import read_limited
from dmix_core.image_files import FORMATS, decode
from dmix_core.marks import COMPOSITE, GENERATED, read_mark

from .exceptions import DataError
from .generated_set import MANIFEST

TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "TIFF": "image/tiff", "WEBP": "image/webp", "GIF": "image/gif"}
"""Of files that may hold a manifest."""
SIGNED = {"PNG", "JPEG"}
LARGEST_PEM = 1 << 20

_VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_OFFLINE = {
    "verify": {"verify_trust": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


class CredentialError(DmixError):
    """A certificate, key or library with which nothing can be signed."""


@dataclass(frozen=True)
class Credentials:
    """What the C2PA manifest of a picture states.

    Attributes:
        source_types: IPTC's terms in it, such as trainedAlgorithmicMedia.
        signer: the organisation that its certificate names, and the name of the certificate.
        valid: whether the signature fits the picture; False where either was changed since.
    """

    source_types: tuple[str, ...]
    signer: str
    valid: bool

    @property
    def is_generated(self) -> bool:
        """Whether it states that a trained model has drawn the picture or parts of it."""
        return bool({GENERATED, COMPOSITE} & {*self.source_types})


def installed() -> bool:
    """Whether c2pa-python is there."""
    return find_spec("c2pa") is not None


def read_credentials(path: Path) -> Credentials | None:
    """The C2PA manifest in a picture file; None without one, or where c2pa-python is not installed.

    Raises:
        ImageError, OSError: the file cannot be read.
    """
    if not installed():
        return None
    import c2pa

    with Image.open(path, formats=FORMATS) as picture:
        kind = TYPES.get(picture.format or "")
    if kind is None:
        return None
    try:
        with path.open("rb") as file:
            reader = c2pa.Reader.try_create(kind, file, None, context=c2pa.Context.from_dict(_OFFLINE))
            return None if reader is None else _stated(json.loads(reader.json()))
    except c2pa.C2paError:
        return Credentials((), "", valid=False)  # there is one, which is damaged


def _stated(store: dict[str, Any]) -> Credentials:
    manifest = store["manifests"][store["active_manifest"]]
    assertions = json.dumps(manifest.get("assertions", []))
    signature = manifest.get("signature_info") or {}
    names = (signature.get(key) for key in ("issuer", "common_name"))
    return Credentials(
        tuple(dict.fromkeys(re.findall(r"digitalsourcetype/(\w{1,80})", assertions))),
        ", ".join(name for name in names if name),
        store.get("validation_state") in ("Valid", "Trusted"),
    )


class Signer:
    """Signs pictures with a certificate of one's own.

    Args:
        certificate: a PEM file of the certificate and those that vouch for it, its own first. C2PA wants one that is
            not self-signed, with a key usage of digital signatures and an extended one such as e-mail protection.
        key: a PEM file of its private key, without a password: EC (P-256, P-384, P-521), Ed25519 or RSA.

    Raises:
        CredentialError: c2pa-python is not installed, a file cannot be read, or the key is not the certificate's.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        if not installed():
            raise CredentialError("Signing needs c2pa-python, which is not installed. Try: pip install dmix-data[c2pa]")
        self._chain = _pem(certificate)
        self._key, self._algorithm = _private_key(key, self._chain, certificate)

    @cached_property
    def _signer(self) -> Any:
        import c2pa

        return c2pa.Signer.from_info(c2pa.C2paSignerInfo(self._algorithm, self._chain, self._key, None))

    def sign(self, picture: bytes, kind: str, source_type: str, title: str) -> bytes:
        """A picture's file with a manifest.

        Args:
            kind: one of SIGNED.
            source_type: IPTC's term for how it came about, such as `dmix_core.marks.GENERATED`.
            title: what the manifest calls it, such as its file's name.

        Raises:
            CredentialError: C2PA does not take the certificate.
        """
        import c2pa

        action = {"action": "c2pa.created", "digitalSourceType": f"{_VOCABULARY}{source_type}"}
        manifest = {
            "claim_generator_info": [{"name": "dmix", "version": version("dmix-data")}],
            "title": title,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
        }
        signed = io.BytesIO()
        try:
            builder = c2pa.Builder(json.dumps(manifest), c2pa.Context.from_dict(_OFFLINE))
            builder.sign(self._signer, TYPES[kind], io.BytesIO(picture), signed)
        except c2pa.C2paError as error:
            raise CredentialError(
                f"{title!r} cannot be signed with this certificate ({error}). Expected one that is not self-signed, "
                "followed by those that vouch for it, for digital signatures and e-mail protection."
            ) from error
        return signed.getvalue()


def sign_below(folder: Path, out: Path, signer: Signer) -> Iterator[bool]:
    """Copy a folder with each PNG and JPEG signed that is marked as generated; the whole folder appears or nothing.

    Yields whether a file was signed, for each file that is copied.

    Raises:
        DataError: the folder is a set, whose manifest states checksums, `out` lies in it, or is there already.
        ImageError, CredentialError: a picture that cannot be read or signed.
        WriteError: `out` cannot be written.
    """
    _check_folders(folder, out)
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.dmix-part")
    try:
        temporary.mkdir(parents=True)
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            target = temporary / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            signed = _signed(path, signer)
            target.write_bytes(path.read_bytes() if signed is None else signed)
            yield signed is not None
        os.replace(temporary, out)
    except OSError as error:
        raise WriteError(f"Cannot write {str(out)!r} ({error.strerror}); nothing of it was kept.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_folders(folder: Path, out: Path) -> None:
    if (folder / MANIFEST).is_file():
        raise DataError(
            f"{str(folder)!r} is a set, whose manifest states the checksums of its files; signing changes them. "
            "Expected a folder that `dmix export` wrote of it."
        )
    if out.resolve().is_relative_to(folder.resolve()) or out.exists():
        raise DataError(f"{str(out)!r} is there already or lies in what is signed; expected a new folder beside it.")


def _signed(path: Path, signer: Signer) -> bytes | None:
    """A picture that is marked as generated, signed; None for other files."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        return None
    decode(path)
    mark = read_mark(path)
    if mark is None or not mark.is_generated:
        return None
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    return signer.sign(path.read_bytes(), kind, mark.source_type, path.name)


# ---- certificates and keys ----------------------------------------------------------------------------------------


def _pem(path: Path) -> bytes:
    try:
        return read_limited(path, LARGEST_PEM)
    except (OSError, DmixError) as error:
        raise CredentialError(f"Cannot read {str(path)!r} ({error}). Expected a PEM file.") from error


def _private_key(path: Path, chain: bytes, certificate: Path) -> tuple[bytes, str]:
    """The key as PKCS #8, and the algorithm that C2PA has for its kind."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.x509 import load_pem_x509_certificates

    try:
        key = forms.load_pem_private_key(_pem(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialError(f"{str(path)!r} is no private key ({error}). Expected PEM without a password.") from error
    try:
        own = load_pem_x509_certificates(chain)[0].public_key()
    except ValueError as error:
        raise CredentialError(f"{str(certificate)!r} is no certificate ({error}). Expected PEM.") from error
    public = (forms.Encoding.DER, forms.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*public) != own.public_bytes(*public):
        raise CredentialError(
            f"The key {str(path)!r} is not that of the first certificate of {str(certificate)!r}. "
            "Expected the signer's own certificate first, and its key."
        )
    pkcs8 = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    return pkcs8, _algorithm(key, path)


def _algorithm(key: Any, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in curves:
        return curves[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise CredentialError(f"{str(path)!r} is a key of another kind; expected EC (P-256, P-384, P-521), Ed25519 or RSA.")
