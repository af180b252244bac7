"""The model of what stands between clients and who answers them."""

from __future__ import annotations

from typing import Annotated, Literal

from appliance.config.section import Section
from appliance.config.values import only


class Handshakes(Section):
    """Protection of a service or a forward. `syn_cookies`: whether TCP handshakes are answered by cookies, with nothing remembered until
    their sender has proven to be there. Under pressure: while there are too many half-open flows."""

    syn_cookies: Annotated[Literal["under-pressure", "always", "off"], only("under-pressure", "always", "off")] = "under-pressure"
