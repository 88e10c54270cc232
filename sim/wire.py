"""How many bytes a message really is: every size and framing constant, once, with its standard.

A message on the application's level is payload + cryptography. On legs that carry IP it is wrapped in AMQP, TLS
and TCP; on every leg it is cut into link frames with their headers, gaps and acknowledgements. Left out: TCP's
own acknowledgements and slow start, Wi-Fi aggregation, broker heartbeats; and the header of messages on hardware, see
docs/wire.md: 134 bytes and 11 for each leg of the slip. A sealed message of data counts nonce and tag only, as it would
with any protocol; that of a key counts the boot id too, 16 bytes, because `hil.keys` sends just these bytes. On
hardware the boot id travels with both, that of data in the header.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

AEAD_TAG_BYTES = 16  # of each of them: the same sections
AEAD_NONCE_BYTES = {
    'Ascon-AEAD128': 16,  # NIST SP 800-232 §4
    'Ascon-128a': 16,  # Ascon v1.2, 2.2
    'Ascon-128': 16,  # Ascon v1.2, 2.2
    'AES-128-GCM': 12,  # NIST SP 800-38D §5.2.1, §8.2
    'AES-256-GCM': 12,  # NIST SP 800-38D
    'ChaCha20-Poly1305': 12,  # RFC 8439 §2.8
}
# Bytes an AEAD adds to a sealed message: nonce carried with it, and tag.
AEAD_BYTES = {'none': 0, **{name: n_bytes + AEAD_TAG_BYTES for name, n_bytes in AEAD_NONCE_BYTES.items()}}
BOOT_ID_BYTES = 16  # ours: names one start of a sender, whose nonces count from 0; two of 2^32 are alike with 2^-65
KEM_PUBLIC_KEY_BYTES = {
    'X25519': 32,  # RFC 7748 §6.1
    'P-256': 65,  # SEC 1 §2.3.3, uncompressed, as RFC 9180 §7.1.1 has it
    'ML-KEM-512': 800,  # FIPS 203 table 3
    'ML-KEM-768': 1184,  # FIPS 203 table 3
    'ML-KEM-1024': 1568,  # FIPS 203 table 3
    'X25519MLKEM768': 1184 + 32,  # draft-ietf-tls-ecdhe-mlkem §4.1: both keys, ML-KEM's first
    'RSA-2048-OAEP': 294,  # RFC 8017 A.1.1 in the SubjectPublicKeyInfo of RFC 5280 §4.1, with exponent 65537
}
KEM_CIPHERTEXT_BYTES = {
    'X25519': 32,  # RFC 7748 §6.1: the ephemeral public key
    'P-256': 65,  # SEC 1 §2.3.3: the same
    'ML-KEM-512': 768,  # FIPS 203 table 3
    'ML-KEM-768': 1088,  # FIPS 203 table 3
    'ML-KEM-1024': 1568,  # FIPS 203 table 3
    'X25519MLKEM768': 1088 + 32,  # draft-ietf-tls-ecdhe-mlkem §4.2: ciphertext, then ephemeral key
    'RSA-2048-OAEP': 256,  # RFC 8017 §7.1.1: as long as the modulus
}
SIGNATURE_PUBLIC_KEY_BYTES = {
    'ML-DSA-44': 1312,  # FIPS 204 table 2
    'ML-DSA-65': 1952,  # FIPS 204 table 2
    'ECDSA-P256': 65,  # SEC 1 §2.3.3, uncompressed
}
SIGNATURE_BYTES = {
    'ML-DSA-44': 2420,  # FIPS 204 table 2
    'ML-DSA-65': 3309,  # FIPS 204 table 2
    'ECDSA-P256': 64,  # FIPS 186-5: two 32-byte integers, raw
}

# The messages of key life, ours: fixed fields, big-endian, in this order. `hil.keys` builds and reads them, and
# docs/key-life.md says what each is for.
Trust = Literal['signed', 'pre-shared-kem', 'pre-shared']  # how a device and the authority know each other
SUBJECT_BYTES = 16  # a subject's id
KEY_HEADER_BYTES = 1 + 1 + SUBJECT_BYTES + 8  # kind, version, subject's id, epoch
KEY_NONCE_BYTES = 32
KEY_BYTES = 32  # a session key or a group key
CERTIFICATE_FIELDS_BYTES = SUBJECT_BYTES + 8 + 8 + 8  # subject's id, serial number, valid from, valid until
KEY_RECORD_BYTES = SUBJECT_BYTES + 8 + 8 + KEY_BYTES  # id of a subject or a group, epoch, valid until, the key
ACKNOWLEDGED_BYTES = SUBJECT_BYTES + 8  # id and epoch of a record that a place has taken
NOTICE_FIELDS_BYTES = 8  # revoked since
CONFIRMATION_BYTES = 32  # what a confirming tag is over: a hash of all that was said

PRIORITIES_MAX = 8  # strict classes; Wi-Fi and Ethernet have eight (IEEE 802.1Q)

AMQP_FRAME_BYTES = 8  # AMQP 0-9-1 §4.2.3: type, channel, size, frame end
AMQP_BODY_FRAME_MAX = 131_072 - AMQP_FRAME_BYTES  # RabbitMQ's default frame_max
AMQP_METHOD_BYTES = 4 + 2 + 1 + 16 + 1 + 16 + 1  # basic.publish; exchange and routing key of 16 characters each
AMQP_HEADER_BYTES = 14 + 1 + 1 + 37  # class, weight, body size, flags; delivery mode, priority, message id (a UUID)
TLS_RECORD_PAYLOAD = 16_384  # RFC 8446 §5.1
TLS_RECORD_BYTES = 5 + 1 + 16  # RFC 8446 §5.2: header, content type, tag
TCP_IP_BYTES = 20 + 20 + 12  # RFC 791, RFC 9293, timestamps of RFC 7323
IP_MTU_BYTES = 1_500  # RFC 894


def certificate_bytes(signature: str) -> int:
    """Return the size of a device's certificate: fields, public key, the authority's signature."""
    return CERTIFICATE_FIELDS_BYTES + SIGNATURE_PUBLIC_KEY_BYTES[signature] + SIGNATURE_BYTES[signature]


def enrol_request_bytes(signature: str) -> int:
    """Return the size of a request for a certificate: nonce, public key, tag of the one-time secret, signature."""
    proof = AEAD_TAG_BYTES + SIGNATURE_BYTES[signature]
    return KEY_HEADER_BYTES + KEY_NONCE_BYTES + SIGNATURE_PUBLIC_KEY_BYTES[signature] + proof


def enrol_answer_bytes(signature: str) -> int:
    """Return the size of the message that carries a certificate."""
    return KEY_HEADER_BYTES + certificate_bytes(signature)


def rekey_request_bytes(kem: str, signature: str, trust: Trust) -> int:
    """Return the size of a request for a session key: nonce, ephemeral public key, certificate and signature or tag."""
    public = 0 if trust == 'pre-shared' else KEM_PUBLIC_KEY_BYTES[kem]
    proof = certificate_bytes(signature) + SIGNATURE_BYTES[signature] if trust == 'signed' else AEAD_TAG_BYTES
    return KEY_HEADER_BYTES + KEY_NONCE_BYTES + public + proof


def rekey_answer_bytes(kem: str, signature: str, trust: Trust) -> int:
    """Return the size of the authority's answer: nonce, ciphertext, confirming tag and, if it signs, signature."""
    ciphertext = 0 if trust == 'pre-shared' else KEM_CIPHERTEXT_BYTES[kem]
    signed = SIGNATURE_BYTES[signature] if trust == 'signed' else 0
    return KEY_HEADER_BYTES + KEY_NONCE_BYTES + ciphertext + AEAD_TAG_BYTES + signed


def rekey_confirm_bytes() -> int:
    """Return the size of the device's confirmation."""
    return KEY_HEADER_BYTES + AEAD_TAG_BYTES


def key_activate_bytes() -> int:
    """Return the size of the message after which a device seals under its new key."""
    return KEY_HEADER_BYTES + AEAD_TAG_BYTES


def key_record_bytes(aead: str) -> int:
    """Return the size of a session key on its way to one place, sealed under that place's own session key."""
    return KEY_HEADER_BYTES + sealing_bytes(aead) + KEY_RECORD_BYTES


def key_acknowledge_bytes(aead: str) -> int:
    """Return the size of a place's sealed acknowledgement of one record."""
    return KEY_HEADER_BYTES + sealing_bytes(aead) + ACKNOWLEDGED_BYTES


def group_key_bytes(aead: str) -> int:
    """Return the size of a group key on its way to one member, sealed under that member's session key."""
    return KEY_HEADER_BYTES + sealing_bytes(aead) + KEY_RECORD_BYTES


def revoke_notice_bytes(signature: str, n_subjects: int) -> int:
    """Return the size of a signed notice that subjects are revoked; the header names the first of them."""
    return KEY_HEADER_BYTES + NOTICE_FIELDS_BYTES + (n_subjects - 1) * SUBJECT_BYTES + SIGNATURE_BYTES[signature]


def sealing_bytes(aead: str) -> int:
    """Return what sealing adds to a message of key life: boot id, nonce and tag; nothing where nothing is sealed."""
    return BOOT_ID_BYTES + AEAD_BYTES[aead] if AEAD_BYTES[aead] else 0


def messaging_bytes(n_bytes: int, *, is_amqp: bool = True) -> int:
    """Return what AMQP, if it is used, and TLS add to a message on a leg that carries IP."""
    n_frames = max(1, ceil(n_bytes / AMQP_BODY_FRAME_MAX))
    amqp = 2 * AMQP_FRAME_BYTES + AMQP_METHOD_BYTES + AMQP_HEADER_BYTES + n_frames * AMQP_FRAME_BYTES if is_amqp else 0
    return amqp + ceil((n_bytes + amqp) / TLS_RECORD_PAYLOAD) * TLS_RECORD_BYTES


@dataclass(frozen=True)
class Technology:
    """How a link frames what it carries."""

    frame_bytes: int  # message bytes in one frame
    overhead_bytes: int  # what a frame sends beside them
    gap_s: float  # silence and acknowledgement that a frame holds the medium for
    is_shared: bool  # half-duplex air that all attached devices share
    carries_ip: bool


TECHNOLOGIES = {
    # Bluetooth Core 5.4 Vol 6 B 2.1, 4.1: LE 1M data PDU of 251 B less L2CAP 4 and ATT 3; preamble 1, access address
    # 4, header 2, MIC 4, CRC 3 and those seven; T_IFS 150 us twice and an empty acknowledging PDU of 80 us.
    'ble': Technology(244, 1 + 4 + 2 + 4 + 3 + 7, 2 * 150e-6 + 80e-6, is_shared=True, carries_ip=False),
    # IEEE 802.15.4-2020 at 2.4 GHz: PHY 6, MAC 23, FCS 2, security 5 + 4; mean first back-off 3.5 x 320 us, CCA 128
    # us, turnaround 192 us, acknowledgement 11 B = 352 us.
    '802.15.4': Technology(93, 6 + 23 + 2 + 9, 3.5 * 320e-6 + 128e-6 + 192e-6 + 352e-6, is_shared=True,
                           carries_ip=False),
    # IEEE 802.11-2020, OFDM at 5 GHz: QoS MAC 26, CCMP 16, LLC 8, FCS 4; DIFS 34 us, mean back-off 7.5 x 9 us,
    # HT preamble 36 us, SIFS 16 us, acknowledgement at 24 Mbit/s 28 us.
    'wifi': Technology(IP_MTU_BYTES - TCP_IP_BYTES, TCP_IP_BYTES + 26 + 16 + 8 + 4,
                       34e-6 + 7.5 * 9e-6 + 36e-6 + 16e-6 + 28e-6, is_shared=True, carries_ip=True),
    # IEEE 802.3-2022: preamble and SFD 8, header 14, VLAN tag 4, FCS 4, inter-packet gap 12.
    'ethernet': Technology(IP_MTU_BYTES - TCP_IP_BYTES, TCP_IP_BYTES + 8 + 14 + 4 + 4 + 12, 0.0, is_shared=False,
                           carries_ip=True),
}


def frame_overhead_bits(technology: Technology, rate_bps: float) -> float:
    """Return what a frame costs beside its payload, in bits at the link's rate."""
    return 8.0 * technology.overhead_bytes + technology.gap_s * rate_bps


def segment_bytes(technology: Technology, rate_bps: float, quantum_s: float) -> int:
    """Return a link's segment size: the whole frames that it sends in the quantum, at least one, at most 64 KiB."""
    n_frames = int(min(65_536.0, rate_bps * quantum_s / 8.0)) // technology.frame_bytes
    return max(n_frames, 1) * technology.frame_bytes
