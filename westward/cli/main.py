"""``westward``: the command. Parses, calls one command, and turns every failure into lines.

Thin: each command reads its input, calls one function of the layers below, and prints. Nothing
is decided here.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from westward.cli.fail import EXIT_INPUT, EXIT_INTERRUPTED, EXIT_OK, Failure
from westward.cli.lazy import Entry, LazyGroup
from westward.model.faults import InputFaults

ENTRIES = {
    "up": Entry("westward.cli.cmd_up", "up", "Start a network on this machine: server and sites."),
    "network": Entry("westward.cli.cmd_network", "network", "Check a network folder."),
    "plan": Entry("westward.cli.cmd_plan", "plan", "Show where and when jobs would run, and why."),
    "quote": Entry(
        "westward.cli.cmd_quote", "quote", "Show what a job would cost, and who would pay."
    ),
    "submit": Entry("westward.cli.cmd_submit", "submit", "Hand in a job."),
    "import": Entry(
        "westward.cli.cmd_import", "import_group", "Turn an sbatch script into a job file."
    ),
    "jobs": Entry("westward.cli.cmd_jobs", "jobs", "List jobs."),
    "why": Entry("westward.cli.cmd_why", "why", "Tell why a job is where it is, and its story."),
    "logs": Entry("westward.cli.cmd_logs", "logs", "Print what a job wrote."),
    "cancel": Entry("westward.cli.cmd_cancel", "cancel", "Stop a job."),
    "suspend": Entry("westward.cli.cmd_pause", "suspend", "Stop a job with time to save."),
    "resume": Entry("westward.cli.cmd_pause", "resume", "Let a suspended job go on."),
    "move": Entry("westward.cli.cmd_pause", "move", "Let a job go on at another site."),
    "data": Entry("westward.cli.cmd_data", "data", "The catalogue of data sets."),
    "sites": Entry("westward.cli.cmd_sites", "sites", "List the sites and what is free there."),
    "site": Entry("westward.cli.cmd_site", "site", "Join a network; invite and look after sites."),
    "login": Entry("westward.cli.cmd_login", "login", "Log in by your organisation's provider."),
    "logout": Entry("westward.cli.cmd_login", "logout", "End the token of a log-in."),
    "whoami": Entry("westward.cli.cmd_people", "whoami", "Tell who you are to the server."),
    "org": Entry("westward.cli.cmd_org", "org", "Organisations: create, list, facts."),
    "project": Entry("westward.cli.cmd_people", "project", "Projects: create, list."),
    "member": Entry("westward.cli.cmd_people", "member", "Who holds which role where."),
    "token": Entry("westward.cli.cmd_people", "token", "Tokens: mint, list, revoke."),
    "report": Entry(
        "westward.cli.cmd_report", "report", "List finished jobs: wait, run, energy, carbon, price."
    ),
    "server": Entry("westward.cli.cmd_server", "server", "Start a server by itself."),
    "backup": Entry("westward.cli.cmd_backup", "backup", "Copy the database while it is used."),
    "restore": Entry(
        "westward.cli.cmd_backup", "restore", "Make a database anew from such a copy."
    ),
    "ledger": Entry("westward.cli.cmd_ledger", "ledger", "Look at the ledger, and audit it."),
    "voucher": Entry(
        "westward.cli.cmd_voucher", "voucher", "Voucher rules: who pays which share of what."
    ),
    "invoice": Entry("westward.cli.cmd_invoice", "invoice", "A project's month, as a paper."),
    "statement": Entry("westward.cli.cmd_statement", "statement", "Who earned what in a month."),
    "dispute": Entry("westward.cli.cmd_dispute", "dispute", "Doubt what a run was charged."),
    "reconcile": Entry(
        "westward.cli.cmd_reconcile", "reconcile", "Compare a site's meter, engine and bills."
    ),
    "export": Entry("westward.cli.cmd_export", "export", "Write charges for other programs."),
    "programme": Entry(
        "westward.cli.cmd_programme", "programme", "Programmes: pots, forecasts, claims."
    ),
    "budget": Entry("westward.cli.cmd_budget", "budget", "What a project may spend."),
    "share": Entry(
        "westward.cli.cmd_share", "share", "Fair shares: who is entitled to what, and had it."
    ),
    "workload": Entry("westward.cli.cmd_workload", "workload", "Look at recorded workloads."),
    "simulate": Entry("westward.cli.cmd_simulate", "simulate", "Rehearse a workload on a network."),
    "faultsim": Entry(
        "westward.cli.cmd_faultsim", "faultsim", "Play simulated worlds that fail; find faults."
    ),
    "study": Entry("westward.cli.cmd_study", "study", "Ask what if: overrides, policies, seeds."),
}


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        "Start here: 'westward up' in one terminal, then 'westward submit JOB.yaml' in another. "
        "Without a server: 'westward plan JOB.yaml --network networks/laptop'. Commands that "
        "answer with data take --json. Errors go to stderr with exit code 2."
    ),
)
@click.version_option(package_name="westward", message="westward %(version)s")
def cli() -> None:
    """Many independent compute sites, one network.

    Westward decides where and when a job runs, runs it there, meters it, and rehearses whole
    workloads with the same decision code.
    """


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code. Prints faults to stderr."""
    try:
        result = cli.main(args=arguments, prog_name="westward", standalone_mode=False)
    except Failure as failure:
        return _tell(failure.lines, failure.code)
    except InputFaults as faults:
        return _tell([str(fault) for fault in faults.faults], EXIT_INPUT)
    except click.exceptions.NoArgsIsHelpError as error:
        return _tell([error.message])
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "westward"
        return _tell([f"{where}: {_sentence(error.format_message())} See: {where} --help"])
    except click.ClickException as error:
        return _tell([_sentence(error.format_message())])
    except (click.Abort, KeyboardInterrupt):
        return _tell(["interrupted"], EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe (head, less) went away: nothing is wrong, and nothing can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    return result if isinstance(result, int) else EXIT_OK


def _tell(lines: list[str] | tuple[str, ...], code: int = EXIT_INPUT) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return code


def _sentence(message: str) -> str:
    text = " ".join(message.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."


def main() -> NoReturn:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
