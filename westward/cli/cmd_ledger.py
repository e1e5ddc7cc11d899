"""``westward ledger``: accounts, balances, statements, and the audit, straight from the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from westward.cli.fail import EXIT_JOB, EXIT_OK, Failure
from westward.cli.output import json_option, print_json, print_table
from westward.cli.server_option import default_data

if TYPE_CHECKING:
    from westward.ledger.accounts import Balances
    from westward.store import Store
    from westward.store.ledger_reading import AccountState, Statement, StatementLine

F = TypeVar("F", bound=Callable[..., Any])
DATABASE_FILE = "westward.db"
PAGE = 1_000
DATE_CHARS = len("2026-11-01")


def store_option(command: F) -> F:
    return click.option(
        "--store",
        metavar="URL|FILE",
        envvar="WESTWARD_STORE",
        help="The database: a SQLite file, or postgresql://user@host/name. [$WESTWARD_STORE, else "
        f"{DATABASE_FILE} in the data folder of 'westward up']",
    )(command)


@click.group()
def ledger() -> None:
    """Look at the ledger, and audit it. These commands read the database itself, beside a running
    server if there is one, and change nothing."""


@ledger.command()
@store_option
@json_option
def audit(store: str | None, as_json: bool) -> int:
    """Recompute every balance from the rows, and name each fault.

    Checks that no transfer is there twice, that pending transfers are posted, given back and expire
    as they may, that no account was overspent after any row, and that both sides of every entry
    agree to the last millionth. Exit code 1 if anything is wrong.
    """
    from westward.ledger.accounts import amount_text
    from westward.store.ledger_audit import audit_ledger

    with _opened(store) as database:
        report = audit_ledger(database)
    code = EXIT_JOB if report.faults else EXIT_OK
    if as_json:
        faults = [{"code": one.code, "where": one.where, "text": one.text} for one in report.faults]
        print_json(
            {
                "balanced": not report.faults,
                "accounts": report.accounts,
                "transfers": report.transfers,
                "open_holds": report.open_holds,
                "posted": dict(report.posted),
                "held": dict(report.held),
                "faults": faults,
            }
        )
        return code
    print(f"accounts   {report.accounts:,}")
    print(f"transfers  {report.transfers:,}, of them pending and still open {report.open_holds:,}")
    for unit, amount in report.posted.items():
        held = amount_text(report.held.get(unit, 0), unit)
        print(f"{unit}: posted {amount_text(amount, unit)}, held {held}")
    for fault in report.faults:
        print(f"FAULT {fault}")
    count = len(report.faults)
    print(
        f"{count} fault{'s' if count != 1 else ''} found."
        if count
        else "It balances: every figure follows from the rows, to the last millionth."
    )
    return code


@ledger.command()
@click.option("--kind", metavar="KIND", help="Only accounts of this kind: pot, project, site, ...")
@store_option
@json_option
def accounts(kind: str | None, store: str | None, as_json: bool) -> None:
    """List the chart of accounts."""
    found = _accounts(store, kind)
    if as_json:
        print_json({"accounts": [_account_json(one) for one in found]})
        return
    if not found:
        print("There are no accounts.")
        return
    from westward.model.units import format_instant

    head = ("ACCOUNT", "KIND", "UNIT", "OWNER", "OVERDRAFT", "OPENED", "LABEL")
    rows = [
        (
            one.account.account_id,
            one.account.kind.value,
            one.account.unit,
            one.account.owner or "-",
            "yes" if one.account.overdraft else "no",
            format_instant(one.opened_ms),
            one.account.label or "-",
        )
        for one in found
    ]
    print_table(head, rows)


@ledger.command()
@click.option("--kind", metavar="KIND", help="Only accounts of this kind: pot, project, site, ...")
@store_option
@json_option
def balances(kind: str | None, store: str | None, as_json: bool) -> None:
    """List what each account has, what is held of it, and what is left to spend."""
    from westward.ledger.accounts import amount_text

    found = _accounts(store, kind)
    if as_json:
        print_json({"accounts": [_account_json(one) for one in found]})
        return
    if not found:
        print("There are no accounts.")
        return
    head = ("ACCOUNT", "UNIT", "IN", "OUT", "HAS", "HELD", "LEFT", "PROMISED")
    rows = [
        (
            one.account.account_id,
            one.account.unit,
            *(
                amount_text(amount, one.account.unit)
                for amount in (
                    one.balances.credits_posted,
                    one.balances.debits_posted,
                    one.balances.posted,
                    one.balances.debits_pending,
                    one.balances.available,
                    one.balances.credits_pending,
                )
            ),
        )
        for one in found
    ]
    print_table(head, rows, right=(2, 3, 4, 5, 6, 7))
    print("HELD is pending out of the account, PROMISED pending into it. LEFT = HAS less HELD.")


@ledger.command(short_help="List an account's transfers with its balance after each.")
@click.argument("account", metavar="ACCOUNT")
@click.option("--from", "from_text", metavar="TIME", help="Transfers from this ISO time on.")
@click.option("--until", "until_text", metavar="TIME", help="Transfers before this ISO time.")
@store_option
@json_option
def statement(
    account: str, from_text: str | None, until_text: str | None, store: str | None, as_json: bool
) -> None:
    """List the transfers of ACCOUNT, with what it has and what is held after each.

    What was before --from is in the opening balance.
    """
    from westward.ledger.accounts import amount_text
    from westward.model.units import format_instant
    from westward.store.ledger_reading import statement as read_statement

    from_ms, until_ms = _instant(from_text), _instant(until_text)
    lines: list[StatementLine] = []
    with _opened(store) as database:

        def read(after_seq: int) -> Statement | None:
            return read_statement(
                database,
                account,
                from_ms=from_ms,
                until_ms=until_ms,
                after_seq=after_seq,
                most=PAGE,
            )

        page = first = read(0)
        while page is not None:
            lines += page.lines
            if page.next_seq is None:
                break
            page = read(page.next_seq)
    if first is None or page is None:
        raise Failure(f"there is no account {account!r}. List them: westward ledger accounts")
    unit = first.account.unit
    if as_json:
        print_json(
            {
                "account": account,
                "unit": unit,
                "opening": _balances_json(first.opening),
                "lines": [_line_json(one) for one in lines],
                "closing": _balances_json(page.closing),
            }
        )
        return
    head = ("TIME", "TRANSFER", "KIND", "WITH", "FOR", "IN", "OUT", "HAS", "HELD", "ABOUT")
    rows = []
    for line in lines:
        transfer = line.entry.recorded.transfer
        pays = transfer.debit == account
        moved = amount_text(transfer.amount, unit)
        rows.append(
            (
                format_instant(line.entry.at_ms),
                transfer.transfer_id,
                transfer.kind.value,
                transfer.credit if pays else transfer.debit,
                transfer.category or "-",
                "" if pays else moved,
                moved if pays else "",
                amount_text(line.after.posted, unit),
                amount_text(line.after.debits_pending, unit),
                transfer.run_id or transfer.job_id or transfer.reason or "-",
            )
        )
    print(f"opening: {_words(first.opening, unit)}")
    if rows:
        print_table(head, rows, right=(5, 6, 7, 8))
    print(f"closing: {_words(page.closing, unit)}")


@contextmanager
def _opened(url: str | None) -> Iterator[Store]:
    """The database, as it is. Raises Failure with one line that says what to do."""
    from sqlalchemy.exc import ArgumentError, DatabaseError

    from westward.store import open_store

    text = url or str(default_data() / DATABASE_FILE)
    if "://" not in text:
        text = f"sqlite:///{Path(text).resolve()}"
    try:
        store = open_store(text, migrate=False)
    except (ValueError, ArgumentError) as error:
        raise Failure(f"{error}. Name the database: --store FILE or --store URL") from None
    except DatabaseError as error:
        why = str(error.orig).strip().splitlines()[0]
        raise Failure(f"the database cannot be read: {why}. Look at --store") from None
    try:
        yield store
    finally:
        store.close()


def _accounts(url: str | None, kind_text: str | None) -> list[AccountState]:
    from westward.ledger.accounts import AccountKind
    from westward.store.ledger_reading import list_accounts

    kinds = [one.value for one in AccountKind]
    if kind_text is not None and kind_text not in kinds:
        raise Failure(f"there is no kind {kind_text!r}. There are: {', '.join(kinds)}")
    kind = None if kind_text is None else AccountKind(kind_text)
    found: list[AccountState] = []
    with _opened(url) as store:
        while True:
            after = found[-1].account.account_id if found else ""
            page = list_accounts(store, kind=kind, after=after, most=PAGE)
            found += page
            if len(page) < PAGE:
                return found


def _instant(text: str | None) -> int | None:
    from westward.model.units import parse_instant_ms

    if text is None:
        return None
    try:
        if text.count("-") < 2:
            raise ValueError(text)
        return parse_instant_ms(f"{text}T00:00:00Z" if len(text) == DATE_CHARS else text, 0)
    except ValueError:
        raise Failure(
            f"{text!r} is not a time; write 2026-11-01, or 2026-11-01T08:00:00+08:00"
        ) from None


def _account_json(state: AccountState) -> dict[str, Any]:
    account = state.account
    return {
        "account": account.account_id,
        "kind": account.kind.value,
        "unit": account.unit,
        "owner": account.owner,
        "label": account.label,
        "overdraft": account.overdraft,
        "opened_ms": state.opened_ms,
        **_balances_json(state.balances),
    }


def _balances_json(balances: Balances) -> dict[str, int]:
    return {**balances._asdict(), "available": balances.available}


def _line_json(line: StatementLine) -> dict[str, Any]:
    transfer = line.entry.recorded.transfer
    return {
        "seq": line.entry.seq,
        "at_ms": line.entry.at_ms,
        "transfer": transfer.transfer_id,
        "kind": transfer.kind.value,
        "debit": transfer.debit,
        "credit": transfer.credit,
        "amount": transfer.amount,
        "pending": transfer.pending_id or None,
        "expires_ms": transfer.expires_ms,
        "group": transfer.group_id or None,
        "category": transfer.category,
        "job_id": transfer.job_id or None,
        "run_id": transfer.run_id or None,
        "corrects": transfer.corrects or None,
        "reason": transfer.reason,
        "after": _balances_json(line.after),
    }


def _words(balances: Balances, unit: str) -> str:
    from westward.ledger.accounts import amount_text

    has, held = amount_text(balances.posted, unit), amount_text(balances.debits_pending, unit)
    return f"has {has} {unit}, of it held {held}"
