"""ML-KEM as FIPS 203 writes it, in plain Python and with its randomness as an argument.

Published vectors name a seed, and providers take none. This form is held to all of the vectors itself, expands seeds to
keys that providers read, and is one more party for them to talk to.
"""

import hashlib
from dataclasses import dataclass
from functools import reduce

Q = 3329
Poly = list[int]


@dataclass(frozen=True)
class Parameters:
    """Table 2 of the standard."""

    k: int
    eta_1: int
    d_u: int
    d_v: int
    eta_2: int = 2


PARAMETERS = {
    'ML-KEM-512': Parameters(2, 3, 10, 4),
    'ML-KEM-768': Parameters(3, 2, 10, 4),
    'ML-KEM-1024': Parameters(4, 2, 11, 5),
}

BIT_REVERSED = [int(f'{i:07b}'[::-1], 2) for i in range(128)]
ZETAS = [pow(17, i, Q) for i in BIT_REVERSED]
GAMMAS = [pow(17, 2 * i + 1, Q) for i in BIT_REVERSED]


def keygen(name: str, seed: bytes) -> tuple[bytes, bytes]:
    """Return the public and the expanded private key of a seed d || z; algorithm 16."""
    p, d, z = PARAMETERS[name], seed[:32], seed[32:]
    expanded = hashlib.sha3_512(d + bytes([p.k])).digest()
    rho, sigma = expanded[:32], expanded[32:]
    s = [ntt(noise(p.eta_1, sigma, n)) for n in range(p.k)]
    e = [ntt(noise(p.eta_1, sigma, p.k + n)) for n in range(p.k)]
    t = [add(dot([sample(rho, j, i) for j in range(p.k)], s), e[i]) for i in range(p.k)]
    public = b''.join(encode(12, f) for f in t) + rho
    private = b''.join(encode(12, f) for f in s)
    return public, private + public + hashlib.sha3_256(public).digest() + z


def is_public_key(name: str, public: bytes) -> bool:
    """Return whether bytes pass the checks of section 7.2."""
    n_bytes = 384 * PARAMETERS[name].k
    if len(public) != n_bytes + 32:
        return False
    return all(c < Q for at in range(0, n_bytes, 384) for c in decode(12, public[at:at + 384]))


def encapsulate(name: str, public: bytes, message: bytes) -> tuple[bytes, bytes]:
    """Return ciphertext and secret; algorithm 17."""
    key = hashlib.sha3_512(message + hashlib.sha3_256(public).digest()).digest()
    return encrypt(name, public, message, key[32:]), key[:32]


def decapsulate(name: str, private: bytes, ciphertext: bytes) -> bytes:
    """Return the secret; algorithm 18."""
    n_bytes = 384 * PARAMETERS[name].k
    public, z = private[n_bytes:2 * n_bytes + 32], private[-32:]
    message = decrypt(name, private[:n_bytes], ciphertext)
    key = hashlib.sha3_512(message + hashlib.sha3_256(public).digest()).digest()
    if encrypt(name, public, message, key[32:]) == ciphertext:
        return key[:32]
    return hashlib.shake_256(z + ciphertext).digest(32)


def encrypt(name: str, public: bytes, message: bytes, randomness: bytes) -> bytes:
    """Return K-PKE's ciphertext; algorithm 14."""
    p = PARAMETERS[name]
    t = [decode(12, public[384 * i:384 * (i + 1)]) for i in range(p.k)]
    rho = public[384 * p.k:]
    y = [ntt(noise(p.eta_1, randomness, n)) for n in range(p.k)]
    e = [noise(p.eta_2, randomness, p.k + n) for n in range(p.k + 1)]
    u = [add(inverse_ntt(dot([sample(rho, i, j) for j in range(p.k)], y)), e[i]) for i in range(p.k)]
    v = add(add(inverse_ntt(dot(t, y)), e[p.k]), decompress(1, decode(1, message)))
    return b''.join(encode(p.d_u, compress(p.d_u, f)) for f in u) + encode(p.d_v, compress(p.d_v, v))


def decrypt(name: str, private: bytes, ciphertext: bytes) -> bytes:
    """Return K-PKE's message; algorithm 15."""
    p = PARAMETERS[name]
    n_bytes = 32 * p.d_u
    u = [decompress(p.d_u, decode(p.d_u, ciphertext[n_bytes * i:n_bytes * (i + 1)])) for i in range(p.k)]
    v = decompress(p.d_v, decode(p.d_v, ciphertext[n_bytes * p.k:]))
    s = [decode(12, private[384 * i:384 * (i + 1)]) for i in range(p.k)]
    product = inverse_ntt(dot(s, [ntt(f) for f in u]))
    return encode(1, compress(1, [(a - b) % Q for a, b in zip(v, product, strict=True)]))


def sample(rho: bytes, j: int, i: int) -> Poly:
    """Return a uniform polynomial in NTT form; algorithm 7."""
    xof, n_bytes, found = hashlib.shake_128(rho + bytes([j, i])), 672, Poly()
    while len(found) < 256:
        stream, n_bytes = xof.digest(n_bytes), 2 * n_bytes
        pairs = ((a + 256 * (b % 16), b // 16 + 16 * c)
                 for a, b, c in zip(stream[::3], stream[1::3], stream[2::3], strict=True))
        found = [d for pair in pairs for d in pair if d < Q]
    return found[:256]


def noise(eta: int, key: bytes, n: int) -> Poly:
    """Return a polynomial of centred binomial noise; algorithm 8 of SHAKE256."""
    bits = int.from_bytes(hashlib.shake_256(key + bytes([n])).digest(64 * eta), 'little')
    mask = (1 << eta) - 1
    return [((bits >> at & mask).bit_count() - (bits >> at + eta & mask).bit_count()) % Q
            for at in range(0, 512 * eta, 2 * eta)]


def ntt(f: Poly) -> Poly:
    """Return the number-theoretic transform; algorithm 9."""
    f, i, length = f.copy(), 1, 128
    while length >= 2:
        for start in range(0, 256, 2 * length):
            zeta = ZETAS[i]
            i += 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def inverse_ntt(f: Poly) -> Poly:
    """Return the inverse transform; algorithm 10."""
    f, i, length = f.copy(), 127, 2
    while length <= 128:
        for start in range(0, 256, 2 * length):
            zeta = ZETAS[i]
            i -= 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, zeta * (f[j + length] - t) % Q
        length *= 2
    return [c * 3303 % Q for c in f]  # 128^-1


def dot(a: list[Poly], b: list[Poly]) -> Poly:
    """Return the sum of products of polynomials in NTT form."""
    return reduce(add, (multiply(f, g) for f, g in zip(a, b, strict=True)))


def multiply(f: Poly, g: Poly) -> Poly:
    """Return the product of two polynomials in NTT form; algorithms 11 and 12."""
    product = Poly()
    for i, gamma in enumerate(GAMMAS):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        product += [(a0 * b0 + a1 * b1 * gamma) % Q, (a0 * b1 + a1 * b0) % Q]
    return product


def add(f: Poly, g: Poly) -> Poly:
    """Return the sum of two polynomials."""
    return [(a + b) % Q for a, b in zip(f, g, strict=True)]


def compress(d: int, f: Poly) -> Poly:
    """Return coefficients rounded to d bits; equation 4.7."""
    return [((c << d + 1) + Q) // (2 * Q) % (1 << d) for c in f]


def decompress(d: int, f: Poly) -> Poly:
    """Return coefficients of d bits as numbers again; equation 4.8."""
    return [(c * Q + (1 << d - 1)) >> d for c in f]


def encode(d: int, f: Poly) -> bytes:
    """Return coefficients as bytes; algorithm 5."""
    return sum(c << d * i for i, c in enumerate(f)).to_bytes(32 * d, 'little')


def decode(d: int, data: bytes) -> Poly:
    """Return bytes as coefficients; algorithm 6, without the reduction of 12 bits, which `is_public_key` asks about."""
    bits, mask = int.from_bytes(data, 'little'), (1 << d) - 1
    return [bits >> d * i & mask for i in range(256)]
