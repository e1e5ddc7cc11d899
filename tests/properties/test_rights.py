"""``allows`` over drawn principals, rules and objects."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from westward.model.access import About, Allowed, Denied, Rule, allows, may_ask, readable, reads
from westward.model.people import (
    NETWORK,
    ROLE_KIND,
    WHOLE_NETWORK,
    Grant,
    Place,
    Principal,
    Role,
    Scope,
    conflict,
    is_name,
)

NAMES = st.sampled_from(["a", "b"])


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    role = draw(st.sampled_from(Role))
    kind = ROLE_KIND[role]
    return Grant(role, Place(kind, NETWORK if kind == "network" else draw(NAMES)))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    change = draw(st.booleans())
    roles = draw(st.frozensets(st.sampled_from(Role)))
    return Rule(
        scope=draw(st.none() | st.sampled_from(Scope)),
        change=change,
        roles=roles - {Role.AUDITOR} if change else roles,
        oneself=draw(st.booleans()),
        anyone=False if change else draw(st.booleans()),
        seen_by=draw(st.none() | st.frozensets(st.sampled_from(Role))),
    )


PLACES = grants().map(lambda grant: grant.place)
ABOUTS = st.builds(
    About, places=st.frozensets(PLACES, max_size=2), user=st.none() | st.sampled_from(["li", "wu"])
)
PRINCIPALS = st.builds(
    Principal,
    user=st.sampled_from(["li", "wu"]),
    grants=st.frozensets(grants(), max_size=4),
    scopes=st.frozensets(st.sampled_from(Scope)),
)


@settings(max_examples=100)
@given(PRINCIPALS, rules(), ABOUTS)
def test_an_auditor_is_never_allowed_a_change(who: Principal, rule: Rule, about: About) -> None:
    auditor = replace(who, grants=who.grants | {Grant(Role.AUDITOR, WHOLE_NETWORK)})
    if rule.change:
        assert isinstance(allows(auditor, rule, about), Denied)
    elif Role.AUDITOR in rule.roles and (rule.scope is None or rule.scope in who.scopes):
        assert isinstance(allows(auditor, rule, about), Allowed)


@settings(max_examples=100)
@given(PRINCIPALS, rules(), ABOUTS)
def test_without_the_scope_nothing_whoever_it_is(who: Principal, rule: Rule, about: About) -> None:
    if rule.scope is not None:
        less = replace(who, scopes=who.scopes - {rule.scope})
        assert allows(less, rule, about) == Denied("scope-missing")


@settings(max_examples=100)
@given(PRINCIPALS, rules(), ABOUTS, grants(), st.sampled_from(Scope))
def test_more_grants_and_scopes_take_nothing_away(
    who: Principal, rule: Rule, about: About, grant: Grant, scope: Scope
) -> None:
    if grant.role is Role.AUDITOR or isinstance(allows(who, rule, about), Denied):
        return
    more = Principal(user=who.user, grants=who.grants | {grant}, scopes=who.scopes | {scope})
    assert isinstance(allows(more, rule, about), Allowed)


@settings(max_examples=100)
@given(PRINCIPALS, rules(), ABOUTS)
def test_allowed_only_by_a_role_there_or_oneself(who: Principal, rule: Rule, about: About) -> None:
    """The same rule in other words."""
    verdict = allows(who, rule, about)
    by_role = any(
        Grant(role, place) in who.grants
        for role in rule.roles
        for place in {*about.places, Place("network", NETWORK)}
        if ROLE_KIND[role] == place.kind
    )
    by_self = rule.oneself and about.user is not None and who.user == about.user
    right = rule.anyone or by_role or by_self
    asked = isinstance(may_ask(who, rule), Allowed)
    assert isinstance(verdict, Allowed) == (right and asked)
    if verdict == Denied("hidden"):
        assert rule.seen_by is not None


@settings(max_examples=100)
@given(PRINCIPALS, NAMES)
def test_readable_and_reads_agree(who: Principal, project: str) -> None:
    own = readable(who)
    overseer = who.has(Role.NETWORK_OPERATOR) or who.has(Role.AUDITOR)
    assert (own is None) == overseer
    held = {one.place.name for one in who.grants if one.role in (Role.OWNER, Role.LEAD)}
    assert reads(who, project) == (overseer or project in held)


@given(st.frozensets(grants(), max_size=3), grants())
def test_an_auditor_holds_nothing_else(held: frozenset[Grant], wanted: Grant) -> None:
    roles = {one.role for one in held | {wanted}}
    assert not conflict(frozenset(), wanted)
    if conflict(held, wanted):
        assert Role.AUDITOR in roles
        assert len(held | {wanted}) > 1
    elif Role.AUDITOR in roles:
        assert wanted.role is not Role.AUDITOR or held <= {wanted}


@given(st.text(max_size=110))
def test_names_are_safe_in_paths_and_lines(text: str) -> None:
    if is_name(text):
        assert text.isascii()
        assert text.isprintable()
        assert not {"/", " ", "?", "#", "%", "'", '"', "\\"} & set(text)
        assert 1 <= len(text) <= 100
