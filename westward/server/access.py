"""The one table: what each route wants of who asks. See docs/decisions/0034.

A route that is not in it keeps the server from starting. The gate reads it before anything else is
done; handlers are asked only where ``about`` is ``body``, with ``permit``, and filter lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope as Asked

from westward.model.access import READERS, Rule
from westward.model.people import Role, Scope

Subject = Literal[
    "nothing", "body", "job", "task", "array", "dataset", "site", "place", "token", "project",
    "organisation", "programme", "claim",
]  # fmt: skip
"""What the gate looks up to judge. ``nothing``: a list, or a thing of the whole network.
``body``: the handler judges, when it has read for whom it is asked."""
Who = Literal["everyone", "agents", "users"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """``operator_alone``: with no users told apart it wants the operator's token."""

    who: Who
    rule: Rule | None = None
    about: Subject = "nothing"
    operator_alone: bool = False


OPEN = Entry(who="everyone")
AGENTS = Entry(who="agents")
_OPERATORS = frozenset({Role.NETWORK_OPERATOR})
_OVERSEERS = frozenset({Role.NETWORK_OPERATOR, Role.AUDITOR})
_SUBMITTERS = frozenset({Role.OWNER, Role.LEAD})


def _list(scope: Scope = Scope.READ) -> Entry:
    """For anyone with a token: the handler shows what they may see."""
    return Entry(who="users", rule=Rule(scope=scope, change=False, anyone=True))


def _oversee(scope: Scope = Scope.READ, *, alone: bool = False) -> Entry:
    rule = Rule(scope=scope, change=False, roles=_OVERSEERS)
    return Entry(who="users", rule=rule, operator_alone=alone)


def _see(about: Subject) -> Entry:
    rule = Rule(scope=Scope.READ, change=False, roles=READERS, seen_by=READERS)
    return Entry(who="users", rule=rule, about=about)


def _steer(about: Subject) -> Entry:
    """Stop, hold, move."""
    roles = _SUBMITTERS | _OPERATORS
    rule = Rule(scope=Scope.JOBS, change=True, roles=roles, seen_by=READERS)
    return Entry(who="users", rule=rule, about=about)


def _operate(scope: Scope) -> Entry:
    rule = Rule(scope=scope, change=True, roles=_OPERATORS)
    return Entry(who="users", rule=rule, operator_alone=True)


_SUBMIT = Entry(
    who="users",
    about="body",
    rule=Rule(scope=Scope.JOBS, change=True, roles=_SUBMITTERS, seen_by=READERS),
)
_DRY_RUN = Entry(
    who="users",
    about="body",
    rule=Rule(scope=Scope.READ, change=False, roles=READERS, seen_by=READERS),
)
_DATA_MAKERS = _SUBMITTERS | {Role.DATA_OWNER}
_SITE_READERS = _OVERSEERS | {Role.SITE_OPERATOR}
_SITE_BOOKS = Entry(
    who="users", about="site", rule=Rule(scope=Scope.READ, change=False, roles=_SITE_READERS)
)
_SETTLE = Entry(who="users", rule=Rule(scope=Scope.MONEY, change=True, roles=_OPERATORS))
_ALL_ROLES = frozenset(Role)
_CHOOSERS = frozenset(
    {Role.LEAD, Role.SITE_OPERATOR, Role.DATA_OWNER, Role.FUNDER, Role.NETWORK_OPERATOR}
)
_CHOOSE = Entry(
    who="users",
    about="place",
    operator_alone=True,
    rule=Rule(scope=Scope.PEOPLE, change=True, roles=_CHOOSERS, seen_by=_ALL_ROLES),
)

_FUNDERS = frozenset({Role.FUNDER}) | _OPERATORS


def _money(
    about: Subject,
    roles: frozenset[Role],
    *,
    seen_by: frozenset[Role] | None = None,
    alone: bool = True,
) -> Entry:
    """Changes who pays for what."""
    rule = Rule(scope=Scope.MONEY, change=True, roles=roles, seen_by=seen_by)
    return Entry(who="users", rule=rule, about=about, operator_alone=alone)


def _accounts(about: Subject, roles: frozenset[Role], seen_by: frozenset[Role] | None) -> Entry:
    rule = Rule(scope=Scope.READ, change=False, roles=roles, seen_by=seen_by)
    return Entry(who="users", rule=rule, about=about)


_ORGANISATION_READERS = READERS | {Role.FUNDER}

TABLE: Mapping[str, Entry] = {
    "GET /healthz": OPEN,
    "GET /v1/healthz": OPEN,
    "GET /openapi.json": OPEN,
    "GET /docs": OPEN,
    "GET /docs/oauth2-redirect": OPEN,
    "GET /redoc": OPEN,
    "GET /metrics": _oversee(Scope.METRICS),
    # jobs
    "POST /v1/jobs": _SUBMIT,
    "POST /v1/batches": _SUBMIT,
    "POST /v1/plan": _DRY_RUN,
    "GET /v1/jobs": _list(),
    "GET /v1/jobs/{job_id}": _see("job"),
    "GET /v1/jobs/{job_id}/why": _see("job"),
    "GET /v1/jobs/{job_id}/logs": _see("job"),
    "POST /v1/jobs/{job_id}/cancel": _steer("job"),
    "POST /v1/jobs/{job_id}/suspend": _steer("job"),
    "POST /v1/jobs/{job_id}/resume": _steer("job"),
    "POST /v1/jobs/{job_id}/move": _steer("job"),
    "GET /v1/arrays/{array_id}": _see("array"),
    # jobs as GA4GH TES tasks
    "GET /ga4gh/tes/v1/service-info": OPEN,
    "POST /ga4gh/tes/v1/tasks": _SUBMIT,
    "GET /ga4gh/tes/v1/tasks": _list(),
    "GET /ga4gh/tes/v1/tasks/{task_id}": _see("task"),
    "POST /ga4gh/tes/v1/tasks/{task_id}:cancel": _steer("task"),
    # the network
    "GET /v1/sites": _list(),
    "GET /v1/report": _list(),
    "GET /v1/snapshot": _oversee(),
    # data sets
    "GET /v1/datasets": _list(),
    "GET /v1/datasets/{name}": _list(),
    "POST /v1/datasets": Entry(
        who="users", about="body", rule=Rule(scope=Scope.DATA, change=True, roles=_DATA_MAKERS)
    ),
    "POST /v1/datasets/{name}/replicas": Entry(
        who="users",
        about="dataset",
        rule=Rule(scope=Scope.DATA, change=True, roles=_DATA_MAKERS | _OPERATORS),
    ),
    # sites that join
    "GET /v1/joined": _oversee(alone=True),
    "GET /v1/joined/{site}": Entry(
        who="users",
        about="site",
        operator_alone=True,
        rule=Rule(scope=Scope.READ, change=False, roles=_SITE_READERS),
    ),
    "POST /v1/joined/{site}/invite": _operate(Scope.SITES),
    "POST /v1/joined/{site}/status": _operate(Scope.SITES),
    "POST /v1/joined/{site}/revoke": _operate(Scope.SITES),
    # people
    "GET /v1/whoami": Entry(who="users", rule=Rule(scope=None, change=False, anyone=True)),
    "GET /v1/organisations": _list(),
    "POST /v1/organisations": _operate(Scope.PEOPLE),
    "GET /v1/projects": _list(),
    "POST /v1/projects": _operate(Scope.PEOPLE),
    "GET /v1/members/{kind}/{place}": Entry(
        who="users",
        about="place",
        rule=Rule(scope=Scope.READ, change=False, roles=_ALL_ROLES, seen_by=_ALL_ROLES),
    ),
    "POST /v1/members/{kind}/{place}": _CHOOSE,
    "POST /v1/members/{kind}/{place}/remove": _CHOOSE,
    "GET /v1/tokens": _list(),
    "POST /v1/tokens": Entry(
        who="users",
        about="body",
        operator_alone=True,
        rule=Rule(scope=Scope.PEOPLE, change=True, roles=_OPERATORS, oneself=True),
    ),
    "POST /v1/tokens/{token_id}/revoke": Entry(
        who="users",
        about="token",
        operator_alone=True,
        rule=Rule(
            scope=Scope.PEOPLE, change=True, roles=_OPERATORS, oneself=True, seen_by=_OVERSEERS
        ),
    ),
    # log-in at a provider: whoever comes has nothing yet
    "GET /v1/login": OPEN,
    "GET /v1/login/callback": OPEN,
    "POST /v1/login/token": OPEN,
    "POST /v1/logout": OPEN,
    "POST /v1/login/forget": _operate(Scope.PEOPLE),
    # settlement
    "GET /v1/settlement": _oversee(),
    "GET /v1/charges": _oversee(),
    "GET /v1/projects/{project}/charges": _see("project"),
    "GET /v1/statements/{earner}": _oversee(),
    "GET /v1/sites/{site}/statement": _SITE_BOOKS,
    "GET /v1/sites/{site}/reconciliation": _SITE_BOOKS,
    "GET /v1/disputes": _oversee(),
    "POST /v1/disputes": Entry(
        who="users",
        about="body",
        rule=Rule(
            scope=Scope.MONEY,
            change=True,
            roles=frozenset({Role.LEAD, Role.SITE_OPERATOR, Role.NETWORK_OPERATOR}),
            seen_by=READERS | {Role.SITE_OPERATOR},
        ),
    ),
    "POST /v1/disputes/{dispute_id}/answer": _SETTLE,
    "POST /v1/disputes/{dispute_id}/close": _SETTLE,
    "POST /v1/payouts": _SETTLE,
    # money
    "POST /v1/quote": _DRY_RUN,
    "GET /v1/budgets/{project}": _see("project"),
    "POST /v1/budgets/{project}": _money(
        "project", frozenset({Role.LEAD}) | _OPERATORS, seen_by=READERS, alone=False
    ),
    "POST /v1/budgets/{project}/add": _money("project", _OPERATORS, seen_by=READERS),
    "POST /v1/budgets/{project}/remove": _money("project", _OPERATORS, seen_by=READERS),
    "GET /v1/programmes": _list(),
    "POST /v1/programmes/{rule}/fund": _money("programme", _FUNDERS),
    "GET /v1/programmes/{rule}/forecast": _accounts("programme", _FUNDERS | _OVERSEERS, None),
    "GET /v1/programmes/{rule}/claims": _accounts("programme", _FUNDERS | _OVERSEERS, None),
    "GET /v1/programmes/{rule}/claims/{organisation}": _accounts(
        "claim", _ORGANISATION_READERS, _ORGANISATION_READERS
    ),
    "POST /v1/programmes/{rule}/claims/{organisation}": _money("programme", _FUNDERS),
    "POST /v1/programmes/{rule}/claims/{organisation}/revoke": _money("programme", _FUNDERS),
    "POST /v1/programmes/{rule}/claims/{organisation}/steps": _money(
        "claim", _FUNDERS | {Role.LEAD}, seen_by=_ORGANISATION_READERS, alone=False
    ),
    "POST /v1/programmes/{rule}/claims/{organisation}/claw-back": _money("programme", _FUNDERS),
    "POST /v1/programmes/{rule}/years/{year}/close": _money("programme", _FUNDERS),
    "GET /v1/organisations/{organisation}/money": _accounts(
        "organisation", _ORGANISATION_READERS, _ORGANISATION_READERS
    ),
    "POST /v1/organisations/{organisation}/facts": _money(
        "organisation", _OPERATORS, seen_by=_ORGANISATION_READERS
    ),
    "POST /v1/organisations/{organisation}/contracts": _money(
        "organisation", _OPERATORS, seen_by=_ORGANISATION_READERS
    ),
    # fair shares
    "GET /v1/shares": _list(),
    "POST /v1/shares": _operate(Scope.PEOPLE),
    "POST /v1/shares/remove": _operate(Scope.PEOPLE),
    "POST /v1/shares/terms": _operate(Scope.PEOPLE),
    # sites' agents, by their site's credential
    "POST /v1/agent/enrol": AGENTS,
    "POST /v1/agent/rotate": AGENTS,
    "POST /v1/agent/offer": AGENTS,
    "POST /v1/agent/hello": AGENTS,
    "POST /v1/agent/poll": AGENTS,
    "POST /v1/agent/runs/{run_id}/started": AGENTS,
    "POST /v1/agent/runs/{run_id}/ended": AGENTS,
    "POST /v1/agent/runs/{run_id}/readings": AGENTS,
    "POST /v1/agent/runs/{run_id}/logs": AGENTS,
    "POST /v1/agent/runs/{run_id}/checkpoint": AGENTS,
    "POST /v1/agent/runs/{run_id}/checkpoint/part": AGENTS,
    "POST /v1/agent/runs/{run_id}/checkpoint/kept": AGENTS,
    "POST /v1/agent/runs/{run_id}/checkpoint/read": AGENTS,
    "POST /v1/agent/runs/{run_id}/checkpoint/fetched": AGENTS,
    "POST /v1/agent/runs/{run_id}/data/source": AGENTS,
    "POST /v1/agent/runs/{run_id}/data/staged": AGENTS,
    "POST /v1/agent/runs/{run_id}/data/moved": AGENTS,
    "POST /v1/agent/runs/{run_id}/data/published": AGENTS,
}


_PARAMETER = re.compile(r"\{[^}]*\}")


class TableBroken(Exception):
    """The table and the routes do not go together: the server must not start."""


@dataclass(frozen=True, slots=True)
class Found:
    """The rule for a request, the route's path, and the path's parameters."""

    entry: Entry
    path: str
    parameters: Mapping[str, str]


class Access:
    """The table, put to the routes of one application. Raises TableBroken."""

    def __init__(self, routes: Iterable[BaseRoute], table: Mapping[str, Entry] = TABLE) -> None:
        self.routes: list[tuple[Route, dict[str, Entry]]] = []
        seen: set[str] = set()
        for route in routes:
            if not isinstance(route, Route) or route.methods is None:
                raise TableBroken(
                    f"{route!r} is no route with methods: no rule can be found for it"
                )
            entries = {}
            for method in sorted(route.methods - {"HEAD"}):
                key = f"{method} {route.path}"
                if key in seen:
                    raise TableBroken(f"two routes are {key}")
                if key not in table:
                    raise TableBroken(f"server/access.py has no rule for {key}")
                seen.add(key)
                entries[method] = table[key]
            self.routes.append((route, entries))
        if set(table) - seen:
            raise TableBroken(f"rules without a route: {', '.join(sorted(set(table) - seen))}")
        self._plain = {
            (method, route.path): Found(entry, route.path, {})
            for route, entries in self.routes
            if "{" not in route.path
            for method, entry in entries.items()
        }
        for (method, path), found in self._plain.items():
            if self._sought({"type": "http", "method": method, "path": path}) != found:
                raise TableBroken(f"another route stands before {method} {path}")

    def find(self, asked: Asked) -> Found | None:
        """None: the application has no such route, and says so. Finds as the framework does: the
        first route whose path and method match (``sealed`` checks that it did)."""
        method = "GET" if asked["method"] == "HEAD" else asked["method"]
        return self._plain.get((method, asked["path"])) or self._sought(asked)

    def methods(self, asked: Asked) -> frozenset[str]:
        """What may be asked at this path: for the ``Allow`` of a refusal. Of paths that match, the
        one with the most fixed letters is meant."""
        found: dict[str, set[str]] = {}
        for route, entries in self.routes:
            if route.matches(asked)[0] is not Match.NONE:
                found.setdefault(route.path, set()).update(entries)
        meant = max(found, key=lambda path: len(_PARAMETER.sub("", path)), default="")
        return frozenset(found.get(meant, ()))

    def _sought(self, asked: Asked) -> Found | None:
        for route, entries in self.routes:
            match, child = route.matches(asked)
            if match is Match.FULL:
                method = "GET" if asked["method"] == "HEAD" else asked["method"]
                return Found(entries[method], route.path, child["path_params"])
        return None
