"""Pictures signed with a certificate that the test makes, and what is read of them again."""

import datetime
from types import SimpleNamespace

import pytest
from PIL import Image, ImageEnhance

from dmix_core.images import write_png
from dmix_core.marks import COMPOSITE, GENERATED, Mark
from dmix_data import c2pa as credentials
from dmix_data.c2pa import CredentialError, Credentials, Signer, read_credentials, sign_below
from dmix_data.detection import detect
from dmix_data.exceptions import DataError
from dmix_data.testing import write_set

pytest.importorskip("c2pa", reason="c2pa-python is not installed")
x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")

from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
NOW = datetime.datetime.now(datetime.UTC)


def pem_of(key):
    return key.private_bytes(PEM, PKCS8, serialization.NoEncryption())


def certificate(name, key, issuer, issuer_key):
    """A certificate as C2PA asks for it: of a signer, or of an authority where it is its own issuer."""
    authority = name == issuer
    names = [
        x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "dmix tests"), x509.NameAttribute(common, each)])
        for common, each in zip(2 * [x509.NameOID.COMMON_NAME], (name, issuer), strict=True)
    ]
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    usage |= {"decipher_only": False, "digital_signature": not authority}
    usage |= {"key_cert_sign": authority, "crl_sign": authority}
    builder = (
        x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=9))
        .add_extension(x509.BasicConstraints(authority, None), True)
        .add_extension(x509.KeyUsage(**usage), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(PEM)


AUTHORITY = ec.generate_private_key(ec.SECP256R1())


def papers(folder, key):
    """The files of a chain of two and of its key."""
    chain = certificate("signer", key, "authority", AUTHORITY) + certificate(
        "authority", AUTHORITY, "authority", AUTHORITY
    )
    (folder / "chain.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(pem_of(key))
    return folder / "chain.pem", folder / "key.pem"


@pytest.fixture
def signer(tmp_path):
    return Signer(*papers(tmp_path, ec.generate_private_key(ec.SECP256R1())))


@pytest.fixture
def exported(tmp_path):
    """A folder with a generated picture, one on a photograph, a photograph and a mask."""
    folder = tmp_path / "exported"
    (folder / "images").mkdir(parents=True)
    for number, mark in enumerate((Mark(GENERATED, {"seed": 3}), Mark(COMPOSITE), Mark("digitalCapture"), None)):
        write_png(folder / f"images/{number}.png", Image.effect_noise((48, 40), 60), mark=mark)
    (folder / "labels.txt").write_text("0")
    return folder


def test_generated_pictures_of_a_folder_are_signed_and_the_rest_stays(exported, tmp_path, signer):
    out = tmp_path / "signed"
    assert sum(sign_below(exported, out, signer)) == 2
    found = [read_credentials(out / f"images/{number}.png") for number in range(4)]
    assert found[0] == Credentials((GENERATED,), "dmix tests, signer", valid=True)
    assert found[1] == Credentials((COMPOSITE,), "dmix tests, signer", valid=True)
    assert found[2:] == [None, None]
    for name in ("images/2.png", "images/3.png", "labels.txt"):
        assert (out / name).read_bytes() == (exported / name).read_bytes()
    before, after = Image.open(exported / "images/0.png"), Image.open(out / "images/0.png")
    assert before.tobytes() == after.tobytes()
    assert detect(out / "images/0.png").mark.recipe == {"seed": 3}


def test_a_manifest_alone_tells_that_a_picture_is_generated(tmp_path, signer):
    plain = write_png(tmp_path / "plain.png", Image.effect_noise((32, 32), 60))
    (tmp_path / "a.png").write_bytes(signer.sign(plain.read_bytes(), "PNG", GENERATED, "a.png"))
    found = detect(tmp_path / "a.png")
    assert (found.mark, found.verdict) == (None, "generated")


def test_a_jpeg_is_signed(tmp_path, signer):
    Image.effect_noise((48, 40), 60).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(signer.sign((tmp_path / "a.jpg").read_bytes(), "JPEG", COMPOSITE, "a.jpg"))
    assert read_credentials(tmp_path / "a.jpg").source_types == (COMPOSITE,)


def test_a_picture_that_was_changed_since_is_not_valid(exported, tmp_path, signer):
    out = tmp_path / "signed"
    [*sign_below(exported, out, signer)]
    content = (out / "images/0.png").read_bytes()
    place = content.index(b"IDAT") + 20
    flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    (tmp_path / "changed.png").write_bytes(flipped)
    assert not read_credentials(tmp_path / "changed.png").valid
    with Image.open(out / "images/0.png") as picture:
        ImageEnhance.Brightness(picture).enhance(1.2).save(tmp_path / "saved.png")
    assert read_credentials(tmp_path / "saved.png") is None


@pytest.mark.parametrize("kind", ["P-384", "Ed25519", "RSA"])
def test_other_keys_sign_too(kind, tmp_path):
    keys = {
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
        "RSA": lambda: rsa.generate_private_key(65537, 2048),
    }
    signer = Signer(*papers(tmp_path, keys[kind]()))
    plain = write_png(tmp_path / "plain.png", Image.effect_noise((32, 32), 60))
    (tmp_path / "a.png").write_bytes(signer.sign(plain.read_bytes(), "PNG", GENERATED, "a.png"))
    assert read_credentials(tmp_path / "a.png").valid


def test_what_cannot_sign_is_refused(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    chain, own = papers(tmp_path, key)
    (tmp_path / "other.pem").write_bytes(pem_of(AUTHORITY))
    (tmp_path / "locked.pem").write_bytes(
        key.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"secret"))
    )
    (tmp_path / "curve.pem").write_bytes(pem_of(ec.generate_private_key(ec.SECP256K1())))
    wrong = {
        (chain, tmp_path / "other.pem"): "is not that of the first certificate",
        (chain, tmp_path / "locked.pem"): "no private key .* without a password",
        (chain, tmp_path / "none.pem"): "Cannot read .*none.pem",
        (chain, chain): "is no private key",
        (own, own): "is no certificate",
    }
    for (certificate_file, key_file), message in wrong.items():
        with pytest.raises(CredentialError, match=message):
            Signer(certificate_file, key_file)
    with pytest.raises(CredentialError, match="another kind; expected EC"):
        Signer(*papers(tmp_path, ec.generate_private_key(ec.SECP256K1())))


def test_a_self_signed_certificate_is_refused_by_name(tmp_path):
    (tmp_path / "chain.pem").write_bytes(certificate("authority", AUTHORITY, "authority", AUTHORITY))
    (tmp_path / "key.pem").write_bytes(pem_of(AUTHORITY))
    plain = write_png(tmp_path / "plain.png", Image.effect_noise((32, 32), 60))
    with pytest.raises(CredentialError, match=r"'a\.png' cannot be signed .* not self-signed"):
        Signer(tmp_path / "chain.pem", tmp_path / "key.pem").sign(plain.read_bytes(), "PNG", GENERATED, "a.png")


def test_a_set_and_a_folder_that_is_there_are_refused(exported, tmp_path, signer):
    with pytest.raises(DataError, match="whose manifest states the checksums"):
        [*sign_below(write_set(tmp_path / "set", 2), tmp_path / "signed", signer)]
    for out in (exported, exported / "signed"):
        with pytest.raises(DataError, match="already or lies in what is signed"):
            [*sign_below(exported, out, signer)]


def test_a_damaged_picture_leaves_nothing_behind(exported, tmp_path, signer):
    (exported / "images/3.png").write_bytes(b"none")
    with pytest.raises(Exception, match=r"3\.png"):
        [*sign_below(exported, tmp_path / "signed", signer)]
    assert not [each for each in tmp_path.iterdir() if "signed" in each.name]


def test_without_the_library_nothing_is_read_and_signing_says_what_to_install(tmp_path, exported, monkeypatch):
    monkeypatch.setattr(credentials, "installed", lambda: False)
    assert read_credentials(exported / "images/0.png") is None
    with pytest.raises(CredentialError, match=r"pip install dmix-data\[c2pa\]"):
        Signer(tmp_path / "a", tmp_path / "b")


def test_the_command_signs_an_export(exported, tmp_path):
    from click.testing import CliRunner

    from dmix_cli.main import main

    chain, key = papers(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    runner, where = CliRunner(), SimpleNamespace(out=tmp_path / "signed")
    words = ["sign", str(exported), "--certificate", str(chain), "--key", str(key), "-o", str(where.out)]
    done = runner.invoke(main, words)
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, f"Signed 2 pictures in {where.out}.")
    told = runner.invoke(main, ["detect", str(where.out / "images/0.png"), "-q"])
    assert f"C2PA manifest of dmix tests, signer, states {GENERATED}" in told.output
