"""What the pages on a candidate say, part by part, in the words of one language; the same for page and terminal."""

from collections.abc import Mapping
from datetime import datetime
from shlex import quote
from typing import Any

from schemas.labels import LANGUAGES
from schemas.publisher import to_fill_in
from transforms.release.decisions import APPROVE, REJECT, RETURN, WITHDRAW
from transforms.release.review.differences import differences
from transforms.release.review.suppressed import suppressed
from transforms.release.review.views import (
    HIDDEN_CSV,
    PUBLISHED,
    READY,
    REJECTED,
    RETURNED,
    WAITING,
    WITHDRAWN,
    Missed,
    Review,
    Signatory,
    Standing,
    page_name,
)
from transforms.release.review.words import Words, words

SIGNS = {WAITING: "▲", READY: "▲", PUBLISHED: "✓", REJECTED: "■", RETURNED: "■", WITHDRAWN: "■"}
KNOWS = {"self_contribution": "attacker_self", "public_eligible": "attacker_eligible"}
ACTS = {APPROVE: "command_approve", RETURN: "command_return", REJECT: "command_reject"}


def content(review: Review, own: Words) -> dict[str, Any]:
    """Everything that is said of a candidate: texts, and tables of texts."""
    manifest, standing = review.manifest, review.standing
    return {
        "language": own.language,
        "t": own.t,
        "site": own.site.labels,
        "id": review.id,
        "title": own.say("title", id=review.id),
        "generated": manifest["generated"],
        "languages": [(one, page_name(one), words(one).site.labels["language_name"]) for one in LANGUAGES],
        "written": own.say("written", time=own.time(review.written)),
        "refresh": f"{review.command} candidate show {review.id} --language {own.language}",
        "state": state_in_words(standing, own, generated=manifest["generated"]),
        "sign": SIGNS[standing.state],
        "is_open": standing.state in (WAITING, READY),
        "required": own.roles(standing.required) or own.t["none"],
        "signatories": [
            (one.name, ", ".join(own.role(role) for role in one.roles), _signature(one, own))
            for one in standing.signatories
        ],
        "facts": _facts(review, own),
        "preview": f"../public/{own.language}/index.html",
        "verdict": _verdict(review, own),
        "changes": differences(review, own),
        "hidden": suppressed(review, own),
        "hidden_csv": HIDDEN_CSV,
        "quality": _quality(review, own),
        "singling": [
            (
                ", ".join(own.attribute(name) for name in row["attributes"]),
                own.share(row["share_unique"]),
                own.share(row["share_in_small_groups"]),
            )
            for row in manifest["inputs"].get("singling_out", [])
        ],
        "decisions": [
            (own.time(datetime.fromisoformat(one.decided)), own.t[f"decision_{one.decision}"], one.steward, one.reason)
            for one in review.made
        ],
        "commands": _commands(review, own),
        "versions": _versions(review, own),
    }


def state_in_words(standing: Standing, own: Words, *, generated: bool) -> str:
    """Where the decision stands, in a sentence."""
    key = f"state_{standing.state}"
    if standing.state == READY and generated:
        key = "state_ready_generated"
    return own.say(key, left=own.roles(standing.left)) if standing.state == WAITING else own.t[key]


def _signature(one: Signatory, own: Words) -> str:
    if one.signed is not None:
        return own.say("signed", time=own.time(one.signed))
    return own.t[f"bar_{one.bar}"] if one.bar else own.t["may_sign"]


def _facts(review: Review, own: Words) -> list[tuple[str, str]]:
    manifest, address = review.manifest, review.manifest["inputs"].get("feedback_address") or ""
    generated = f" ({own.site.labels['generated'].lower()})" if manifest["generated"] else ""
    facts = {
        "as_of": own.date(review.as_of),
        "source": manifest["inputs"]["source"] + generated,
        "built_by": manifest["built_by"],
        "created": own.date(manifest["created"]),
        "feedback": own.t["feedback_none"] if to_fill_in(address) else address,
    }
    if manifest["generated"]:
        del facts["feedback"]  # nobody's data: the act does not ask for one
    return [(own.t[key], value) for key, value in facts.items()]


def _verdict(review: Review, own: Words) -> dict[str, Any]:
    figures, rules = review.figures, review.certificate["rules"]
    broken, threshold = figures["exactly_recoverable"], rules["threshold"]
    if rules["guarantee"] == "not_small":
        broken += figures["provably_small"]
    rows = [
        (own.t["cells"], own.count(figures["cells"])),
        (own.t["published"], own.count(figures["published"])),
        (own.t["primary"], own.count(figures["primary"])),
        (own.t["secondary"], own.count(figures["secondary"])),
        (own.t["secondary_sum"], own.count(figures["suppressed_value_sum"])),
        (own.t["recoverable"], own.count(figures["exactly_recoverable"])),
        (own.t["recoverable_safe"], own.count(figures["exactly_recoverable_safe"])),
        (own.say("provable", threshold=threshold), own.count(figures["provably_small"])),
    ]
    return {
        "holds": not broken,
        "said": own.say("verdict_broken", count=broken) if broken else own.t["verdict_held"],
        "guarantee": own.say(f"guarantee_{rules['guarantee']}", threshold=threshold),
        "rows": rows,
        "allowed": own.t["provable_allowed"] if figures["provably_small"] and not broken else "",
        "distance": _distance(figures, own),
        "attacker": _attacker(review.certificate, own),
    }


def _distance(figures: Mapping[str, Any], own: Words) -> list[str]:
    if figures.get("lower_bound") is None:
        return [own.t["distance_none"]]
    told = [
        own.say(key, least=figures["lower_bound"][name], found=figures[name], share=own.share(gap))
        for key, name in (("distance_secondary", "secondary"), ("distance_sum", "suppressed_value_sum"))
        if (gap := figures["optimality_gap"].get(name)) is not None
    ]
    proven = figures.get("proven_optimal")
    return told + ([own.say("distance_proven", best=proven["tables"], of=proven["of"])] if proven else [])


def _attacker(certificate: Mapping[str, Any], own: Words) -> list[str]:
    rules, earlier = certificate["rules"], certificate["earlier_releases"]
    keys = ["attacker_cells", *(["attacker_same"] if certificate["populations"] else [])]
    keys += [*(["attacker_earlier"] if earlier else []), "attacker_whole", f"attacker_zeros_{rules['zeros']}"]
    keys += ["attacker_group"] if rules["group_disclosure"] and rules["zeros"] == "publish" else []
    keys += [key for name, key in KNOWS.items() if rules.get(name)]
    return [own.t[key].format(count=own.count(earlier)) for key in keys]


def _quality(review: Review, own: Words) -> dict[str, Any]:
    found = review.quality
    severities = [one.severity for one in found.missed]
    numbers = {name: severities.count(name) for name in ("fail", "warn")}
    said = "quality_none" if not found.checks else "quality_missed" if found.missed else "quality_passed"
    return {
        "said": own.say(said, count=found.checks, missed=len(found.missed), **numbers),
        "rows": [_missed(one, own) for one in sorted(found.missed, key=lambda one: one.severity)],
        "page": found.pages.get(own.language, ""),
        "command": f"{review.command} quality show {review.manifest['inputs']['load']}",
    }


def _missed(one: Missed, own: Words) -> tuple[str, ...]:
    of = (one.table, one.what, one.observed, one.limit)
    return own.t[f"severity_{one.severity}"], *(texts[own.language] for texts in of)


def _commands(review: Review, own: Words) -> list[tuple[str, str]]:
    """What there is left to do, and the command as it is typed."""
    standing, call = review.standing, review.command
    able = [one for one in standing.signatories if not one.bar and one.signed is None]
    if standing.state == READY:
        able = [one for one in standing.signatories if one.signed is not None] or able
    name = _typed(able[0].name) if len(able) == 1 else f'"{own.t["name_placeholder"]}"'
    signed = f'--as {name} --reason "{own.t["reason_placeholder"]}"'
    if standing.state == WAITING:
        return [(own.t[key], f"{call} {act} {review.id} {signed}") for act, key in ACTS.items()]
    if standing.state == READY:
        key = "command_finish" if standing.required else "command_publish"
        return [(own.t[key], f"{call} {APPROVE} {review.id} {signed}")]
    if standing.state == PUBLISHED:
        withdraw = f'--as "{own.t["name_placeholder"]}" --reason "{own.t["reason_placeholder"]}"'
        return [
            (own.t["command_verify"], f"{call} verify {review.folder}"),
            (own.t["command_withdraw"], f"{call} {WITHDRAW} {review.id} {withdraw}"),
        ]
    return [(own.t["command_build"], f"{call} release --as-of {review.as_of}{review.dates}")]


def _typed(name: str) -> str:
    """A name as a shell takes it."""
    return f'"{name}"' if name.replace(" ", "").isalnum() else quote(name)


def _versions(review: Review, own: Words) -> list[tuple[str, str]]:
    inputs = review.manifest["inputs"]
    versions = {
        "load": inputs["load"],
        "lake": ", ".join(f"{name} {version}" for name, version in inputs["lake"].items()),
        "code_version": inputs["code_version"],
        "policy_version": inputs["release_policy_version"],
        "digest": review.digest,
    }
    return [(own.t[key], value) for key, value in versions.items()]
