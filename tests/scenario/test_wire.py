"""Bytes on the wire against the standards: frames built byte by byte, air times added up by hand."""

import struct
import uuid

import pytest

from sim import wire
from sim.wire import AEAD_BYTES, KEM_CIPHERTEXT_BYTES, SIGNATURE_BYTES, TECHNOLOGIES, frame_overhead_bits, segment_bytes

QUEUE_NAME = b'crypto-alarms-01'  # as long as the names that are modelled


def amqp_frame(kind: int, payload: bytes) -> bytes:
    """Return a frame of AMQP 0-9-1 4.2.3: type, channel, size, payload, frame end."""
    return struct.pack('>BHI', kind, 1, len(payload)) + payload + b'\xce'


def short_string(text: bytes) -> bytes:
    """Return a short string of AMQP 0-9-1 4.2.5.3."""
    return struct.pack('>B', len(text)) + text


def published(body: bytes) -> bytes:
    """Return what basic.publish sends: the method, the content header and the body, in frames of at most 128 KiB."""
    method = struct.pack('>HHH', 60, 40, 0) + short_string(QUEUE_NAME) + short_string(QUEUE_NAME) + b'\0'
    flags = 1 << 12 | 1 << 11 | 1 << 7  # delivery mode, priority, message id
    header = struct.pack('>HHQHBB', 60, 0, len(body), flags, 2, 0) + short_string(str(uuid.UUID(int=1)).encode())
    size = 131_072 - 8
    bodies = [body[i:i + size] for i in range(0, len(body), size)]
    return b''.join([amqp_frame(1, method), amqp_frame(2, header), *(amqp_frame(3, part) for part in bodies)])


def tls_records(data: bytes) -> list[int]:
    """Return the sizes of the records of RFC 8446 5.2 that carry data: header, up to 16,384 bytes, type and tag."""
    return [5 + len(data[i:i + 16_384]) + 1 + 16 for i in range(0, len(data), 16_384)]


@pytest.mark.parametrize(('name', 'k', 'd_u', 'd_v'), [
    ('ML-KEM-512', 2, 10, 4), ('ML-KEM-768', 3, 10, 4), ('ML-KEM-1024', 4, 11, 5)])
def test_kem_ciphertext_is_as_long_as_fips_203_makes_it(name: str, k: int, d_u: int, d_v: int) -> None:
    """K-PKE.Encrypt returns 32 (d_u k + d_v) bytes (FIPS 203 algorithm 14, parameters of table 2)."""
    assert KEM_CIPHERTEXT_BYTES[name] == 32 * (d_u * k + d_v)


@pytest.mark.parametrize(('name', 'strength', 'k', 'l', 'gamma_1_bits', 'omega'), [
    ('ML-DSA-44', 128, 4, 4, 17, 80), ('ML-DSA-65', 192, 6, 5, 19, 55)])
def test_signature_is_as_long_as_fips_204_makes_it(
        name: str, strength: int, k: int, l: int, gamma_1_bits: int, omega: int) -> None:  # noqa: E741 - its name there
    """SigEncode returns lambda/4 + 32 l (1 + bitlen(gamma_1 - 1)) + omega + k bytes (FIPS 204 algorithm 26)."""
    assert SIGNATURE_BYTES[name] == strength // 4 + 32 * l * (1 + gamma_1_bits) + omega + k


def test_other_signature_and_sealing_are_as_long_as_their_standards_say() -> None:
    """Two 256-bit integers (FIPS 186-5); nonce and tag of 128 bits (SP 800-232), or of 96 and 128 (SP 800-38D)."""
    assert SIGNATURE_BYTES['ECDSA-P256'] == 2 * 256 // 8
    for name, n_bytes in AEAD_BYTES.items():
        expected = 0 if name == 'none' else (128 if name.startswith('Ascon') else 96) // 8 + 128 // 8
        assert n_bytes == expected, name


@pytest.mark.parametrize('n_bytes', [1, 244, 1_448, 16_384 - 120, 16_384, 131_064, 131_065, 1_000_000])
def test_messaging_adds_what_real_frames_and_records_add(n_bytes: int) -> None:
    """A message is framed by AMQP byte by byte and cut into TLS records: the same sum, at every border."""
    data = published(bytes(n_bytes))
    assert wire.messaging_bytes(n_bytes) == sum(tls_records(data)) - n_bytes


def frame_s(technology: str, rate_bps: float, n_bytes: int) -> float:
    """Return how long one frame holds the link."""
    return (8 * n_bytes + frame_overhead_bits(TECHNOLOGIES[technology], rate_bps)) / rate_bps


def test_full_ble_frame_holds_the_air_for_two_and_a_half_milliseconds() -> None:
    """Bluetooth Core 5.4: 265 bytes of LE 1M are 2,120 us, T_IFS 150 us, an empty PDU of 80 us, T_IFS 150 us."""
    packet = 1 + 4 + 2 + (4 + 3 + 244) + 4 + 3
    assert packet == 265
    assert TECHNOLOGIES['ble'].frame_bytes == 244
    assert frame_s('ble', 1e6, 244) == pytest.approx(2120e-6 + 150e-6 + 80e-6 + 150e-6, rel=1e-12)


def test_full_802_15_4_frame_is_127_bytes_and_six_milliseconds() -> None:
    """IEEE 802.15.4: 133 bytes with preamble are 4,256 us, then the mean back-off, CCA, turnaround, acknowledgement."""
    mac = 23 + 9 + 93 + 2
    assert mac == 127
    assert TECHNOLOGIES['802.15.4'].frame_bytes == 93
    back_off = (2**3 - 1) / 2 * 20 * 16e-6
    hold = (4 + 1 + 1 + mac) * 8 / 250e3 + back_off + 8 * 16e-6 + 12 * 16e-6 + (6 + 5) * 8 / 250e3
    assert frame_s('802.15.4', 250e3, 93) == pytest.approx(hold, rel=1e-12)


def test_full_wifi_frame_holds_the_air_for_its_bits_and_its_exchange() -> None:
    """IEEE 802.11: IP packet, QoS header, CCMP, LLC and FCS at 65 Mbit/s; DIFS, mean back-off, preamble, SIFS, ACK."""
    assert TECHNOLOGIES['wifi'].frame_bytes == 1500 - 20 - 20 - 12
    bits = 8 * (1500 + 26 + 16 + 8 + 4)
    exchange = (16e-6 + 2 * 9e-6) + 15 / 2 * 9e-6 + 36e-6 + 16e-6 + 28e-6
    assert frame_s('wifi', 65e6, 1448) == pytest.approx(bits / 65e6 + exchange, rel=1e-12)


def test_full_ethernet_frame_is_1542_bytes_with_its_gap() -> None:
    """IEEE 802.3: preamble and delimiter 8, header 14, tag 4, packet 1,500, FCS 4, gap 12."""
    assert TECHNOLOGIES['ethernet'].frame_bytes == 1448
    assert frame_s('ethernet', 1e9, 1448) == pytest.approx(8 * (8 + 14 + 4 + 1500 + 4 + 12) / 1e9, rel=1e-12)


def test_segment_is_what_the_quantum_sends_within_a_frame_and_64_kib() -> None:
    """10 ms of 1 Mbit/s are 1,250 bytes: five frames; less than a frame gives one, a fast link those within 64 KiB."""
    ble, ethernet = TECHNOLOGIES['ble'], TECHNOLOGIES['ethernet']
    assert segment_bytes(ble, 1e6, 0.01) == 5 * 244
    assert segment_bytes(ble, 1e6, 1e-6) == 244
    assert segment_bytes(ethernet, 10e9, 0.01) == 45 * 1448
    assert segment_bytes(ethernet, 1e300, 1e300) == 45 * 1448
