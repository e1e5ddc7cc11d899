"""``westward whoami|org|project|member|token`` and the SDK, against a server on a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

import westward
from tests.unit.people_world import LAPTOP
from westward.cli.main import run
from westward.sdk.errors import ApiError
from westward.server import app as server_app
from westward.server import core as server_core
from westward.server.settings import Settings

TASK = "resources:\n  cpus: 1\nrun: echo hi\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    data = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_core, "_warm_up", lambda *_: None)
        app = server_app.create_app(Settings(network=LAPTOP, data=data, users=True))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", data
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def here(
    served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[str, Path]:
    url, data = served
    for name in ("WESTWARD_TOKEN", "WESTWARD_TOKEN_FILE", "WESTWARD_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("WESTWARD_PROJECT", raising=False)
    monkeypatch.setenv("WESTWARD_SERVER", url)
    monkeypatch.setenv("WESTWARD_DATA", str(data))
    monkeypatch.setenv("HOME", str(tmp_path))
    return served


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


def test_from_the_operator_to_a_job(
    here: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    code, _, err = said(capsys, "jobs")
    assert code == 2
    assert "show a token" in err
    assert said(capsys, "org", "create", "acme", "--label", "Acme")[0] == 0
    assert said(capsys, "project", "create", "vision", "--org", "acme")[0] == 0
    code, out, _ = said(capsys, "member", "add", "li", "lead", "project", "vision")
    assert code == 0
    assert out.splitlines()[1].split() == ["li", "lead", "operator"]
    code, out, err = said(capsys, "token", "mint", "--user", "li", "--valid", "1h")
    assert code == 0
    token = out.strip()
    assert token.startswith("wut_")
    assert token not in err

    kept = tmp_path / ".config" / "westward" / "token"
    kept.parent.mkdir(parents=True)
    kept.write_text(token + "\n")
    kept.chmod(0o644)
    code, _, err = said(capsys, "whoami")
    assert code == 2
    assert f"chmod 600 {kept}" in err
    kept.chmod(0o600)
    code, out, _ = said(capsys, "whoami")
    assert out.splitlines()[:2] == ["li", "  lead of project vision"]

    task = tmp_path / "task.yaml"
    task.write_text(TASK)
    code, out, err = said(capsys, "plan", str(task), "--json")
    assert code == 0, err
    (decision,) = json.loads(out)["decisions"]
    assert (decision["placement"] is None) != (decision["refusal"] is None)
    code, out, err = said(capsys, "plan", str(task), str(task))
    assert code == 0, err
    assert out.count(str(task)) == 2
    assert "Each by itself" in out
    code, out, err = said(capsys, "submit", str(task), "--json")
    assert code == 0, err
    job = json.loads(out)
    assert json.loads(said(capsys, "why", job["job_id"], "--json")[1])["job"]["name"] == job["name"]
    code, _, err = said(capsys, "submit", str(task), "--project", "speech")
    assert code == 2
    assert "there is no project 'speech'" in err

    monkeypatch.setenv("WESTWARD_TOKEN", "wut_wrong")
    code, _, err = said(capsys, "jobs")
    assert code == 2
    assert "nobody has this token" in err
    assert "wut_wrong" not in err
    monkeypatch.setenv("WESTWARD_TOKEN", token)
    code, _, err = said(capsys, "org", "create", "mine")
    assert code == 2
    assert "li may not do that here" in err
    (listed,) = json.loads(said(capsys, "token", "list", "--json")[1])["tokens"]
    assert said(capsys, "token", "revoke", listed["token_id"])[0] == 0
    code, _, err = said(capsys, "whoami")
    assert "this token was revoked" in err


def test_the_sdk_shows_a_token(
    here: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, _ = here
    code, out, _ = said(capsys, "token", "mint", "--user", "wu", "--scope", "read", "--valid", "1h")
    assert code == 0
    with pytest.raises(ApiError) as refused:
        westward.Client(url).sites()
    assert refused.value.code == "token-missing"
    assert westward.Client(url, token=out.strip()).api.whoami()["user"] == "wu"
    monkeypatch.setenv("WESTWARD_TOKEN", out.strip())
    client = westward.Client(url)
    assert list(client.list()) == []
    with pytest.raises(ApiError) as refused:
        client.submit(TASK)
    assert refused.value.code == "scope-missing"
