"""The requests this engine makes of a Kubernetes API server, through the official client.

Answers are plain JSON mappings, not the client's classes: a field that an older or newer server
has or lacks is then simply there or not. Every method may be repeated.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from westward.agent.engines.kubernetes_pod import RUN_LABEL, SITE_LABEL

ANSWER_S = (3, 10)
"""To connect, and to answer."""
LOG_SILENCE_S = 3600
"""A log stream on which nothing came for this long is opened anew."""


class Unreachable(Exception):
    """No answer, or one that says nothing: ask again."""


class Missing(Exception):
    """There is no such thing."""


class Refused(Exception):
    """The server will not take the request, now or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach the server: a kubeconfig file (None = the usual place), or from inside."""

    kubeconfig: str | None = None
    context: str | None = None
    inside: bool = False


class KubernetesLink:
    """One namespace of one cluster, seen by one site. Safe to use from several threads."""

    def __init__(self, access: Access, namespace: str, site: str):
        """ValueError: the client is not installed, or the access cannot be read."""
        try:
            from kubernetes import client, config
        except ImportError as error:
            raise ValueError(
                "the kubernetes engine needs the official client: pip install westward[kubernetes]"
            ) from error
        settings = client.Configuration()
        try:
            if access.inside:
                config.load_incluster_config(client_configuration=settings)
            else:
                config.load_kube_config(
                    access.kubeconfig, context=access.context, client_configuration=settings
                )
        except (config.ConfigException, OSError) as error:
            where = access.kubeconfig or "the usual places"
            raise ValueError(f"engine option kubeconfig: {where}: {error}") from error
        settings.retries = False  # this engine's own loop tries again
        self._failed = client.exceptions.ApiException
        self._api = client.ApiClient(settings)
        self._batch = client.BatchV1Api(self._api)
        self._core = client.CoreV1Api(self._api)
        self._versions = client.VersionApi(self._api)
        self._mine = {"label_selector": f"{SITE_LABEL}={site}"}
        self.namespace = namespace

    def close(self) -> None:
        self._api.close()

    # -- what there is

    def jobs(self) -> list[dict[str, Any]]:
        return self._items(self._batch.list_namespaced_job, self.namespace, **self._mine)

    def pods(self) -> list[dict[str, Any]]:
        return self._items(self._core.list_namespaced_pod, self.namespace, **self._mine)

    def nodes(self) -> list[dict[str, Any]]:
        """Of the whole cluster. Refused where the agent's account may not list nodes."""
        return self._items(self._core.list_node)

    def version(self) -> tuple[int, int]:
        """The server's, as (1, 20). Vendors write 20+."""
        told = self._ask(self._versions.get_code)
        minor = "".join(filter(str.isdigit, str(told["minor"])))
        return int(told["major"]), int(minor or 0)

    # -- what is done

    def create_job(self, body: Mapping[str, Any]) -> None:
        """Refused also when the name is another's: the run's and token's labels say whose it is."""
        try:
            self._ask(self._batch.create_namespaced_job, self.namespace, body)
        except Refused as error:
            if "AlreadyExists" not in str(error):
                raise
            name = body["metadata"]["name"]
            there = self._ask(self._batch.read_namespaced_job, name, self.namespace)
            if there["metadata"].get("labels") != body["metadata"]["labels"]:
                raise Refused(f"there is another job {name} in {self.namespace}") from error

    def create_service(self, body: Mapping[str, Any]) -> None:
        with contextlib.suppress(Refused):  # it is there, or names must do without
            self._ask(self._core.create_namespaced_service, self.namespace, body)

    def set_deadline(self, name: str, deadline_s: int) -> None:
        body = {"spec": {"activeDeadlineSeconds": deadline_s}}
        self._ask(self._batch.patch_namespaced_job, name, self.namespace, body)

    def limit_pod(self, name: str, deadline_s: int) -> None:
        """The node itself ends the pod then; can be set once, and only lowered after that."""
        body = {"spec": {"activeDeadlineSeconds": deadline_s}}
        self._ask(self._core.patch_namespaced_pod, name, self.namespace, body)

    def delete_job(self, name: str, *, pods_too: bool) -> None:
        how = {"propagationPolicy": "Background" if pods_too else "Orphan"}
        self._delete(self._batch.delete_namespaced_job, name, how)

    def delete_pod(self, name: str, grace_s: int) -> None:
        self._delete(self._core.delete_namespaced_pod, name, {"gracePeriodSeconds": grace_s})

    def delete_service(self, name: str) -> None:
        self._delete(self._core.delete_namespaced_service, name, {})

    def log(self, pod: str, since_s: int | None) -> Iterator[bytes]:
        """A pod's output of the last ``since_s`` seconds (None = all) and as it grows, until the
        pod ends; each line with its time before it."""
        more = {} if since_s is None else {"since_seconds": since_s}
        response = self._raw(
            self._core.read_namespaced_pod_log,
            pod,
            self.namespace,
            follow=True,
            timestamps=True,
            _request_timeout=(ANSWER_S[0], LOG_SILENCE_S),
            **more,
        )
        try:
            yield from response.stream(65_536, decode_content=True)
        except Exception as error:  # urllib3's many ways of breaking off
            raise Unreachable(str(error)) from error
        finally:
            response.close()

    # -- one request

    def _items(self, method: Callable[..., Any], *names: str, **query: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._ask(method, *names, **query)["items"]
        return items

    def _delete(self, method: Callable[..., Any], name: str, how: Mapping[str, Any]) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **how}
        with contextlib.suppress(Missing):
            self._ask(method, name, self.namespace, body=body)

    def _ask(self, method: Callable[..., Any], *names: Any, **query: Any) -> Any:
        response = self._raw(method, *names, _request_timeout=ANSWER_S, **query)
        try:
            return json.loads(response.data)
        except ValueError as error:
            raise Unreachable("not an answer of Kubernetes'") from error

    def _raw(self, method: Callable[..., Any], *names: Any, **query: Any) -> Any:
        """One call of the official client, its answer as it came."""
        try:
            response = method(*names, _preload_content=False, **query)
        except self._failed as error:
            raise _kind_of(error.status, error.body or error.reason) from error
        except Exception as error:  # urllib3's: refused, reset, timed out, TLS
            raise Unreachable(str(error)[:300]) from error
        if not 200 <= response.status <= 299:
            raise _kind_of(response.status, response.data)
        return response


def _kind_of(status: int, body: Any) -> Exception:
    """An HTTP error as one of the three kinds."""
    words = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    with contextlib.suppress(ValueError, AttributeError):
        told = json.loads(words)
        words = f"{told.get('reason', '')} {told.get('message', '')}"
    words = words.strip()[:500]
    if status == 404:
        return Missing(words)
    if status in (400, 403, 409, 422):
        return Refused(words)
    return Unreachable(f"HTTP {status}: {words}")


def run_of(thing: Mapping[str, Any]) -> str | None:
    """The run that a Job or pod belongs to."""
    labels: Mapping[str, str] = thing["metadata"].get("labels") or {}
    return labels.get(RUN_LABEL)
