"""Energy: what a device draws, from the seconds that its processor and its radio were on.

E = P_base T + P_busy t_busy + P_transmit t_transmit + P_receive t_receive; all but the base power is above it.
"""

from sim.model import Classes, Floats, Ints


def energy_j(classes: Classes, of: Ints, seconds: float, busy_s: Floats, transmit_s: Floats,
             receive_s: Floats) -> Floats:
    """Return the joules of entities, shape ``(n_entities,)``.

    Parameters
    ----------
    of
        The class of each entity; the other arrays have the same shape.
    seconds
        The time that base power is drawn for; 0 for the energy above base.
    """
    joules: Floats = (classes.base_w[of] * seconds + classes.busy_w[of] * busy_s + classes.transmit_w[of] * transmit_s
                      + classes.receive_w[of] * receive_s)
    return joules
