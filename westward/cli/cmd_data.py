"""``westward data``: the catalogue of data sets."""

from __future__ import annotations

import sys
from typing import Any

import click

from westward.cli.fail import Failure
from westward.cli.number import Number
from westward.cli.output import json_option, print_json, print_table
from westward.cli.server_option import server_option

Json = dict[str, Any]
NOT_STATED = "not stated"


@click.group()
def data() -> None:
    """The catalogue of data sets: what they are, where copies lie, on which terms.

    A job reads one with the label westward.inputs: dataset:NAME=FOLDER, and makes one with
    westward.outputs: PATH=NAME. Sites fetch and check the bytes; none pass through the server.
    """


@data.command(short_help="Add a data set, or a new version of one.")
@click.argument("name", metavar="NAME")
@click.argument("place", metavar="FOLDER|URL")
@click.option("--site", metavar="SITE", required=True, help="The site where this copy lies.")
@click.option(
    "--owner", metavar="ACCOUNT", default="", help="The account it belongs to. [nobody's]"
)
@click.option("--licence", metavar="TEXT", default="", help="Its licence: CC-BY-4.0. [not stated]")
@click.option(
    "--residency",
    default="",
    metavar="TERMS",
    help="Tags of every site that may hold it: country=CN,province=Gansu|Ningxia. [any site]",
)
@click.option(
    "--price-per-gb",
    metavar="AMOUNT",
    type=Number(min=0),
    help="For reading, in the network's currency; 0: free. [not stated: nothing is charged]",
)
@server_option
@json_option
def add(
    name: str,
    place: str,
    site: str,
    owner: str,
    licence: str,
    residency: str,
    price_per_gb: float | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Add the data set NAME, or a new version of it: the files in FOLDER, or below a file: or s3:
    URL.

    They are read once, here, for their digests. The same bytes on the same terms are no new
    version.
    """
    from westward.cli.client import Client
    from westward.cli.data_scan import scan, url_of
    from westward.model.units import MICROS

    client = Client(server)
    url = url_of(place)
    body = {
        "name": name,
        "owner": owner,
        "files": scan(url, _progress),
        "site": site,
        "url": url,
        "licence": licence,
        "residency": residency,
        "price_micros_per_gb": None if price_per_gb is None else round(price_per_gb * MICROS),
    }
    answer = client.post("/v1/datasets", body)
    if as_json:
        print_json(answer)
        return
    verb = "added" if answer["created"] else "there already:"
    print(f"{verb} {answer['name']}@{answer['version']}: {_what(answer)}")


@data.command(name="list")
@server_option
@json_option
def list_(server: str | None, as_json: bool) -> None:
    """List the data sets: newest versions, by name."""
    from westward.cli.client import Client

    client = Client(server)
    found: list[Json] = []
    after: str | None = None
    currency = ""
    while True:
        page = client.get("/v1/datasets", after=after, limit=1_000)
        currency = page["currency"]
        found += page["datasets"]
        after = page["next"]
        if after is None:
            break
    if as_json:
        print_json({"currency": currency, "datasets": found})
        return
    if not found:
        print("There are no data sets. Add one: westward data add NAME FOLDER --site SITE")
        return
    head = (
        "NAME", "VERSION", "SIZE", "OWNER", "LICENCE", f"{currency}/GB", "TERMS", "COPIES",
    )  # fmt: skip
    print_table(head, [_row(one) for one in found], right=(1, 2, 5))


@data.command(short_help="Show one: digest, terms, copies, and what made it.")
@click.argument("dataset", metavar="NAME[@VERSION]")
@click.option("--files", is_flag=True, help="Also list every file.")
@server_option
@json_option
def show(dataset: str, files: bool, server: str | None, as_json: bool) -> None:
    """Show one data set: digest, terms, copies, and what it was made from."""
    from westward.cli.client import Client, quoted

    name, version = _reference(dataset)
    found = Client(server).get(f"/v1/datasets/{quoted(name)}", version=version)
    if as_json:
        print_json(found)
        return
    rows = [
        ("data set", f"{found['name']}@{found['version']}"),
        ("holds", _what(found)),
        ("sha256", f"{found['digest']} (of the manifest)"),
        ("owner", found["owner"] or NOT_STATED),
        ("licence", found["licence"] or NOT_STATED),
        ("terms", _terms(found["residency"]) or "none: it may lie anywhere"),
        ("price", _price(found, found["currency"])),
    ]
    for one in found["replicas"]:
        suspect = f"  FOUND WRONG: {one['suspect']}" if one["suspect"] else ""
        rows.append((f"copy at {one['site']}", f"{one['url']}{suspect}"))
    made = found["provenance"]
    if made is not None:
        rows.append(("made by", f"{made['job_id']}, run {made['run_id']}, at {made['site']}"))
        rows.append(("from code", f"sha256 {made['run_sha256']} (its `run:`)"))
        for one in made["inputs"]:
            rows.append(("from data", f"{one['dataset']}@{one['version']}  {one['digest']}"))
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label.ljust(width)}  {text}")
    if files:
        for one in found["files"]:
            print(f"{one['sha256']}  {one['size_bytes']}  {one['path']}")


@data.command(short_help="Say where another copy lies, or lies no more.")
@click.argument("dataset", metavar="NAME[@VERSION]")
@click.argument("place", metavar="[FOLDER|URL]", required=False)
@click.option("--site", metavar="SITE", required=True, help="The site where the copy lies.")
@click.option("--remove", is_flag=True, help="There is no copy at that site any more.")
@click.option("--unchecked", is_flag=True, help="Do not read the copy here: this machine cannot.")
@server_option
@json_option
def replica(
    dataset: str,
    place: str | None,
    site: str,
    remove: bool,
    unchecked: bool,
    server: str | None,
    as_json: bool,
) -> None:
    """Say where another copy of a data set lies, or (--remove) that there is none any more.

    It is read here and compared, unless --unchecked; sites that read it check every byte anyway.
    """
    from westward.cli.client import Client, quoted
    from westward.cli.data_scan import scan, url_of

    if remove == (place is not None):
        raise Failure("westward data replica: give the FOLDER or URL of the copy, or --remove.")
    client = Client(server)
    name, version = _reference(dataset)
    path = f"/v1/datasets/{quoted(name)}"
    found = client.get(path, version=version)
    body: Json = {"site": site, "version": found["version"], "url": None}
    if place is not None:
        body["url"] = url_of(place) if "://" not in place or not unchecked else place
        if not unchecked:
            _compare(found["files"], scan(body["url"], _progress), body["url"])
    answer = client.post(f"{path}/replicas", body)
    if as_json:
        print_json(answer)
        return
    where = ", ".join(one["site"] for one in answer["replicas"]) or "nowhere"
    print(f"copies of {answer['name']}@{answer['version']}: {where}")


def _compare(wanted: list[Json], seen: list[Json], url: str) -> None:
    there = {one["path"]: one for one in seen}
    wrong = [
        f"{url}/{one['path']}: {'is not there' if one['path'] not in there else 'has other bytes'}"
        for one in wanted
        if there.get(one["path"], {}).get("sha256") != one["sha256"]
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise Failure(f"{wrong[0]}{more}. It is no copy of the data set; nothing was changed.")


def _reference(text: str) -> tuple[str, int]:
    name, at, version = text.partition("@")
    if at and not version.isdecimal():
        raise Failure(
            f"{text!r}: {version!r} is not a version. Write {name}@1, or {name} for the newest."
        )
    return name, int(version or 0)


def _row(one: Json) -> tuple[str, ...]:
    from westward.model.units import MICROS

    price = one["price_micros_per_gb"]
    copies = [copy["site"] + ("!" if copy["suspect"] else "") for copy in one["replicas"]]
    return (
        one["name"],
        str(one["version"]),
        _size(one["size_bytes"]),
        one["owner"] or NOT_STATED,
        one["licence"] or NOT_STATED,
        NOT_STATED if price is None else f"{price / MICROS:g}",
        _terms(one["residency"]) or "-",
        ", ".join(copies) or "none",
    )


def _what(one: Json) -> str:
    count = len(one["files"])
    return f"{count} file{'s' if count != 1 else ''}, {_size(one['size_bytes'])}"


def _size(size_bytes: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= size:
            return f"{size_bytes / size:.3g} {unit}"
    return f"{size_bytes} B"


def _terms(rules: list[Json]) -> str:
    return ",".join(f"{one['key']}={'|'.join(one['values'])}" for one in rules)


def _price(one: Json, currency: str) -> str:
    from westward.model.units import format_money

    price = one["price_micros_per_gb"]
    if price is None:
        return f"{NOT_STATED}: nothing is charged for reading"
    return "free" if price == 0 else f"{format_money(price, currency)} a GB read, by each run"


def _progress(done: int, whole: int) -> None:
    if sys.stderr.isatty():
        print(f"\rread {_size(done)} of {_size(whole)}", end="", file=sys.stderr)
        if done >= whole:
            print(file=sys.stderr)
