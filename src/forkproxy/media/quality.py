"""How good a connection sounds, estimated from delay and loss: the E-model of ITU-T G.107, simplified.

R = 93.2 - Idd - Ie,eff, which is what the recommendation makes of its default values when nothing but delay
and packet loss is known; then G.107 Annex B turns R into a mean opinion score (MOS-CQE). Echo, levels and
noise are taken as perfect, losses as independent of one another (BurstR = 1).

The scale is that of narrowband telephony, which ends at 4.41 here. What wideband codecs add is not in it:
they are rated as G.711 with concealment, Ie = 0 and Bpl = 25.1 (ITU-T G.113 Appendix I).
"""

from __future__ import annotations

import math

BEST = 93.2
"""R where neither delay nor loss is noticed: G.107's default values."""
EQUIPMENT = 0.0
"""Ie of G.711."""
ROBUSTNESS = 25.1
"""Bpl of G.711 with packet loss concealment."""


def delay_impairment(delay_ms: float) -> float:
    """Idd of a one-way delay from mouth to ear (G.107 7.4); none up to 100 ms.

    >>> round(delay_impairment(100), 1), round(delay_impairment(400), 1)
    (0.0, 24.1)
    """
    if delay_ms <= 100:
        return 0.0
    x = math.log2(delay_ms / 100)
    return 25 * (math.pow(1 + x**6, 1 / 6) - 3 * math.pow(1 + (x / 3) ** 6, 1 / 6) + 2)


def loss_impairment(loss: float) -> float:
    """Ie,eff where this part of the packets is lost, 0 to 1 (G.107 7.5).

    >>> round(loss_impairment(0.05), 1)
    15.8
    """
    percent = 100 * loss
    return EQUIPMENT + (95 - EQUIPMENT) * percent / (percent + ROBUSTNESS)


def opinion(rating: float) -> float:
    """The mean opinion score that belongs to R, 1 to 4.5 (G.107 Annex B).

    >>> round(opinion(93.2), 2), round(opinion(70), 2)
    (4.41, 3.6)
    """
    if rating >= 100:
        return 4.5
    if rating <= 0:
        return 1.0
    return max(1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6, 1.0)


def mos(delay_ms: float, loss: float) -> float:
    """The score of a connection with this one-way delay and this part of its packets lost, 0 to 1."""
    return opinion(BEST - delay_impairment(delay_ms) - loss_impairment(loss))
