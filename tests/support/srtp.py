"""SRTP as its RFCs describe it (3711, 7714), slow and plain: a peer that shares no code with libsrtp."""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SALTS = {
    "AEAD_AES_256_GCM": 12,
    "AEAD_AES_128_GCM": 12,
    "AES_CM_128_HMAC_SHA1_80": 14,
    "AES_CM_128_HMAC_SHA1_32": 14,
}


def aes_cm(key: bytes, iv: int, data: bytes) -> bytes:
    """Counter mode (RFC 3711 4.1.1): its own inverse."""
    return Cipher(algorithms.AES(key), modes.CTR(iv.to_bytes(16, "big"))).encryptor().update(data)


def derive(master: bytes, salt: bytes, label: int, octets: int) -> bytes:
    """A session key (RFC 3711 4.3.1 with a key derivation rate of 0; a short salt as in RFC 7714 11)."""
    x = int.from_bytes(salt.ljust(14, b"\0"), "big") ^ label << 48
    return aes_cm(master, x << 16, bytes(octets))


def header_size(packet: bytes) -> int:
    size = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        size += 4 + 4 * int(struct.unpack_from(">H", packet, size + 2)[0])
    return size


class CipherKeys:
    """Session keys, RTP's or RTCP's, and what is done with them."""

    def __init__(self, suite: str, master: bytes, labels: tuple[int, int, int], tag: int) -> None:
        key, salt = master[: -SALTS[suite]], master[-SALTS[suite] :]
        self.aead = suite.startswith("AEAD")
        self.key = derive(key, salt, labels[0], len(key))
        self.auth = derive(key, salt, labels[1], 20)
        self.salt = derive(key, salt, labels[2], len(salt))
        self.tag = 16 if self.aead else tag

    def iv(self, ssrc: int, index: int) -> int:
        salt = int.from_bytes(self.salt, "big")
        return salt ^ (ssrc << 48 | index) if self.aead else (salt << 16) ^ ssrc << 64 ^ index << 16

    def encrypt(self, ssrc: int, index: int, plain: bytes, associated: bytes) -> bytes:
        """Without authentication in counter mode, with it (and a tag at the end) in GCM."""
        iv = self.iv(ssrc, index)
        if self.aead:
            return AESGCM(self.key).encrypt(iv.to_bytes(12, "big"), plain, associated)
        return aes_cm(self.key, iv, plain)

    def decrypt(self, ssrc: int, index: int, secret: bytes, associated: bytes) -> bytes:
        iv = self.iv(ssrc, index)
        if self.aead:
            return AESGCM(self.key).decrypt(iv.to_bytes(12, "big"), secret, associated)
        return aes_cm(self.key, iv, secret)

    def sign(self, data: bytes) -> bytes:
        return b"" if self.aead else hmac.digest(self.auth, data, hashlib.sha1)[: self.tag]


class SrtpPeer:
    """One direction: seals what a phone sends, or opens what it gets. The caller keeps count of wraps."""

    def __init__(self, suite: str, master: bytes) -> None:
        self.rtp = CipherKeys(suite, master, (0, 1, 2), 4 if suite.endswith("_32") else 10)
        self.rtcp = CipherKeys(suite, master, (3, 4, 5), 10)
        self.index = 0

    def seal(self, packet: bytes, roc: int = 0) -> bytes:
        sequence, ssrc = struct.unpack_from(">2xH4xI", packet)
        header, payload = packet[: header_size(packet)], packet[header_size(packet) :]
        sealed = header + self.rtp.encrypt(ssrc, roc << 16 | sequence, payload, header)
        return sealed + self.rtp.sign(sealed + struct.pack(">I", roc))

    def open(self, packet: bytes, roc: int = 0) -> bytes:
        """Raises ValueError: the tag is not that of these keys (in GCM, `InvalidTag` of cryptography)."""
        sequence, ssrc = struct.unpack_from(">2xH4xI", packet)
        signed = packet if self.rtp.aead else packet[: -self.rtp.tag]
        if self.rtp.sign(signed + struct.pack(">I", roc)) != packet[len(signed) :]:
            raise ValueError("another tag")
        header, secret = signed[: header_size(packet)], signed[header_size(packet) :]
        return header + self.rtp.decrypt(ssrc, roc << 16 | sequence, secret, header)

    def seal_rtcp(self, packet: bytes) -> bytes:
        header, (ssrc,) = packet[:8], struct.unpack_from(">4xI", packet)
        trailer = struct.pack(">I", 1 << 31 | self.index)
        sealed = header + self.rtcp.encrypt(ssrc, self.index, packet[8:], header + trailer) + trailer
        self.index += 1
        return sealed + self.rtcp.sign(sealed)

    def open_rtcp(self, packet: bytes) -> bytes:
        signed = packet if self.rtcp.aead else packet[: -self.rtcp.tag]
        if self.rtcp.sign(signed) != packet[len(signed) :]:
            raise ValueError("another tag")
        header, secret, trailer = signed[:8], signed[8:-4], signed[-4:]
        (ssrc,), (index,) = struct.unpack_from(">4xI", packet), struct.unpack(">I", trailer)
        if not index >> 31:
            raise ValueError("it is not encrypted")
        return header + self.rtcp.decrypt(ssrc, index & 0x7FFFFFFF, secret, header + trailer)
