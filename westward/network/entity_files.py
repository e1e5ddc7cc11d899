"""Made-up organisations for rehearsals with vouchers: ``entities.yaml`` of a network folder.

Who hands in how much, what each has shown, which programmes it has been admitted to. Rehearsals
only: live, organisations and their claims are in the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from westward.model.faults import Fault, InputFaults
from westward.model.network import Network
from westward.model.scenario import VoucherPlay
from westward.model.units import MICROS
from westward.model.voucher import Entity, FactValue, NamedFact, Rule
from westward.network.schemas import suggest
from westward.network.values import CellError, check_name
from westward.network.voucher_files import VoucherFolder
from westward.network.voucher_tree import Node, read_tree

ENTITIES = "entities.yaml"
ENTITIES_MOST = 1_000
WEIGHT_MOST = 10**6
CONTRACT_MOST = 10**12
"""Currency units."""
_TOP = ("source", "entities", "lines", "pools")
_ENTITY = ("name", "place", "weight", "contract_value", "facts", "programmes")


def load_play(folder: Path, network: Network, vouchers: VoucherFolder) -> VoucherPlay:
    """The organisations of ``folder`` and the network's rules. Raises InputFaults, all at once."""
    path = folder / ENTITIES
    faults: list[Fault] = []
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        remedy = "List the organisations that hand in jobs (docs/howto/vouchers.md)."
        raise InputFaults([Fault(ENTITIES, None, "", "the file is missing", remedy)]) from None
    except (OSError, UnicodeDecodeError) as error:
        remedy = "Save it as UTF-8 text."
        raise InputFaults(
            [Fault(ENTITIES, None, "", f"cannot be read ({error})", remedy)]
        ) from None
    root = read_tree(ENTITIES, text, faults)
    play = None if root is None else _Reader(root, network, vouchers.rules).read()
    if faults or play is None:
        raise InputFaults(faults)
    return play


def load_pool_facts(
    folder: Path, network: Network
) -> tuple[tuple[str, tuple[NamedFact, ...]], ...]:
    """What the lines of each pool's bills show (``lines`` and ``pools`` of the file); nothing in a
    network without the file. Raises InputFaults."""
    try:
        text = (folder / ENTITIES).read_text("utf-8-sig")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        fault = Fault(ENTITIES, None, "", f"cannot be read ({error})", "Save it as UTF-8 text.")
        raise InputFaults([fault]) from None
    faults: list[Fault] = []
    root = read_tree(ENTITIES, text, faults)
    found = () if root is None else _Reader(root, network, ()).pool_facts(root.entries(_TOP))
    if faults:
        raise InputFaults(faults)
    return found


class _Reader:
    def __init__(self, root: Node, network: Network, rules: tuple[Rule, ...]) -> None:
        self.root = root
        self.network = network
        self.rules = rules
        self.names = tuple(rule.name for rule in rules)

    def read(self) -> VoucherPlay:
        top = self.root.entries(_TOP)
        entities: list[Entity] = []
        weights: list[float] = []
        programmes: list[tuple[str, ...]] = []
        contracts: list[int] = []
        nodes = list(top["entities"].items()) if "entities" in top else []
        if not nodes:
            self.root.fault("no organisation", "List at least one under entities:.")
        if len(nodes) > ENTITIES_MOST:
            self.root.fault(f"{len(nodes)} organisations", f"At most {ENTITIES_MOST} are played.")
            nodes = []
        for node in nodes:
            given = node.entries(_ENTITY)
            name = self._name(node, given)
            if name in {one.name for one in entities}:
                node.fault(f"{name!r} stands twice", "Keep one.")
            entities.append(Entity(name=name, facts=self._facts(given.get("facts"))))
            weights.append(float(self._whole(node, given, "weight", 1, WEIGHT_MOST)))
            contracts.append(self._whole(node, given, "contract_value", 0, CONTRACT_MOST) * MICROS)
            listed = given.get("programmes")
            programmes.append(() if listed is None else listed.words(self.names))
        return VoucherPlay(
            rules=self.rules,
            entities=tuple(entities),
            weights=tuple(weights),
            programmes=tuple(programmes),
            contract_micros=tuple(contracts),
            pool_facts=self.pool_facts(top),
        )

    def _name(self, node: Node, given: Mapping[str, Node]) -> str:
        if "name" not in given:
            node.fault("the key name is missing", "Name the organisation.")
            return ""
        text = given["name"].text() or ""
        try:
            check_name(text)
        except CellError as error:
            given["name"].fault(error.problem, error.remedy)
        return text

    def _whole(self, node: Node, given: Mapping[str, Node], key: str, least: int, most: int) -> int:
        value = given[key].plain() if key in given else None
        if key not in given:
            node.fault(f"the key {key} is missing", f"Write a whole number from {least}.")
        elif not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            given[key].fault(
                f"{value!r} is no whole number from {least} to {most}", "Write one in that range."
            )
        else:
            return value
        return least

    def _facts(self, node: Node | None) -> tuple[NamedFact, ...]:
        found: list[NamedFact] = []
        for name, value in ({} if node is None or node.blank else node.entries()).items():
            plain: FactValue | None = value.plain()
            if plain is not None:
                found.append(NamedFact(name=name, value=plain, evidence="assumption"))
        return tuple(found)

    def pool_facts(self, top: Mapping[str, Node]) -> tuple[tuple[str, tuple[NamedFact, ...]], ...]:
        everywhere = self._facts(top.get("lines"))
        kinds = tuple(one.name for one in self.network.accelerators)
        by_kind: dict[str, tuple[NamedFact, ...]] = {}
        for node in top["pools"].items() if "pools" in top else ():
            given = node.entries(("accelerators", "facts"))
            facts = self._facts(given.get("facts"))
            for kind in given["accelerators"].words() if "accelerators" in given else ():
                if kind not in kinds:
                    given["accelerators"].fault(
                        f"{kind!r} is no accelerator of the network",
                        suggest(kind, kinds, "accelerators"),
                    )
                by_kind[kind] = (*by_kind.get(kind, ()), *facts)
        return tuple(
            (pool.name, (*everywhere, *by_kind.get(pool.accelerator or "", ())))
            for pool in self.network.pools
        )
