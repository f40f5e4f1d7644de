"""Purchase requests as Connect makes them, all different."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"

STATUSES = ("pending", "approved", "failed")

NAMES = (
    "Macejkovic - Osinski",
    "Müller & Söhne GmbH",
    "Société Générale d’Étude",
    "Señor Ñandú, S.L.",
    "ООО «Ромашка»",
    "株式会社 東京",
    "شركة النور",
    "Ζεύς Ο.Ε.",
    "Łódź Żółć Sp. z o.o.",
    "Emoji 🚀 Ltd 👩‍👩‍👧",
    'Quote "n" Slash \\ Ltd',
)


def sample(name: str) -> dict[str, Any]:
    """One of the real objects in `samples/`."""
    loaded: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def purchase_requests(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """`count` purchase requests: other ids, names, parameters, items, nulls and texts in each."""
    chance = random.Random(seed)
    template = sample("asset-purchase-request")
    return [_request(template, number, chance) for number in range(count)]


def _request(template: dict[str, Any], number: int, chance: random.Random) -> dict[str, Any]:
    request = copy.deepcopy(template)
    part = f"{number // 10_000:04}-{number % 10_000:04}-{chance.randrange(10_000):04}"
    request["id"] = f"PR-{part}-001"
    request["status"] = STATUSES[number % len(STATUSES)]
    request["reason"] = chance.choice(["", None, "Customer's order № 7 was refused: «no stock»"])
    request["note"] = chance.choice([None, "", "multi\nline\tnote"])
    request["activation_key"] = _activation_text(chance) if number % 5 == 0 else ""
    asset = request["asset"]
    asset["id"] = f"AS-{part}"
    asset["external_id"] = None if number % 7 == 0 else f"EXT{chance.randrange(10**9)}"
    for tier in asset["tiers"].values():
        tier["name"] = chance.choice(NAMES)
        tier["contact_info"]["address_line2"] = chance.choice([None, "", "2º izquierda"])
    asset["params"] = [_parameter(place, chance) for place in range(chance.randrange(6))]
    asset["items"] = [_item(asset["items"][0], place, chance) for place in range(chance.randrange(1, 5))]
    asset["configuration"] = {} if number % 11 == 0 else {"params": [_parameter(0, chance)]}
    return request


def _activation_text(chance: random.Random) -> str:
    return "# Activation\n" + "".join(f"* step {step}: {chance.choice(NAMES)} ✓\n" for step in range(80))


def _parameter(place: int, chance: random.Random) -> dict[str, Any]:
    value: Any = chance.choice(["", None, "text", "ünïcode", "a" * 300])
    return {
        "id": f"param_{place}",
        "name": f"param_{place}",
        "type": chance.choice(["text", "email", "checkbox", "object"]),
        "value": value,
        "structured_value": chance.choice(
            [
                None,
                {"yes": True, "no": False},
                [1, -1, 2**31, -(2**40), 1.5, 1e-7],
                {"empty": {}, "list": [], "deep": [[{"a": [None]}]]},
            ]
        ),
        "value_error": None,
        "constraints": {"required": chance.random() < 0.5, "max_length": chance.randrange(1, 3000)},
    }


def _item(template: dict[str, Any], place: int, chance: random.Random) -> dict[str, Any]:
    item = copy.deepcopy(template)
    item["id"] = item["mpn"] = f"SEATS_{place}"
    item["quantity"] = chance.choice(["unlimited", str(chance.randrange(10_000)), "0.5", "10.25"])
    item["old_quantity"] = str(chance.randrange(10))
    return item
