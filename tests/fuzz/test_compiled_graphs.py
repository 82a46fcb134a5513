"""Random graphs on the compiled emulator: every array and the final state equal the NumPy emulator's, however time and
batch are cut, for sizes around whole vectors, for every way of adding synapses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hardware import Convolution, Dense, NetworkState, Program, ProgramBuilder, ProgramError, Sparse, Trace, emulate
from hardware.emulator import Emulator
from hardware.random_graphs import random_graph
from hardware.random_programs import random_inputs, random_state
from hardware.random_values import random_weight
from tests.graph_cases import load_cases
from tests.loihi_traces import load_trace
from tests.paths import golden_folder
from tests.trace_engines import differences

pytest.importorskip("numba")

from hardware.compiled import blocks, records, run, tables
from hardware.compiled.components import components


def parts(trace: Trace) -> dict[str, np.ndarray]:
    """All arrays of a trace and of its final state, by name."""
    state = trace.final_state
    assert state is not None
    found = {f"trace/{key}": value for key, value in trace.arrays().items()}
    kinds: dict[str, Mapping[str, np.ndarray]] = {
        "states": state.states,
        "spikes": state.spikes,
        "history": state.history,
    }
    found.update({f"{kind}/{key}": value for kind, values in kinds.items() for key, value in values.items()})
    return found


def assert_equal(found: Trace, expected: Trace, what: str) -> int:
    """Number of integers compared; names, order, types, shapes and values."""
    ours, theirs = parts(found), parts(expected)
    assert list(ours) == list(theirs), what
    for key, value in theirs.items():
        assert ours[key].dtype == value.dtype, f"{what}, {key}"
        assert np.array_equal(ours[key], value), f"{what}, {key}"
    return sum(value.size for value in theirs.values())


def cut(inputs: Any, window: slice, samples: slice = slice(None)) -> Any:
    if isinstance(inputs, dict):
        return {name: values[window, samples] for name, values in inputs.items()}
    return inputs[window, samples]


def agrees(rng: np.random.Generator, program: Program, what: str, T: int = 0, B: int = 0) -> int:
    """A run in one piece and in two, each with the threads that its random number says."""
    T, B = T or int(rng.integers(2, 30)), B or int(rng.integers(1, 6))
    inputs = random_inputs(rng, program, T, B)
    start = random_state(rng, program, B) if rng.random() < 0.4 else None
    expected = Emulator(program).run(inputs, "all", start)
    threads = int(rng.integers(1, 3))
    compared = assert_equal(emulate(program, inputs, "all", start, "numba", threads=threads), expected, what)
    place = int(rng.integers(1, T))
    first = emulate(program, cut(inputs, slice(place)), "all", start, "numba", threads=threads)
    second = emulate(program, cut(inputs, slice(place, None)), "all", first.final_state, "numba", threads=threads)
    joined = {key: np.concatenate([first.arrays()[key], value]) for key, value in second.arrays().items()}
    for key, value in expected.arrays().items():
        assert np.array_equal(joined[key], value), f"{what}, cut at {place}, {key}"
    last, ours = parts(expected), parts(second)
    for key in last:
        if not key.startswith("trace/"):
            assert np.array_equal(ours[key], last[key]), f"{what}, cut at {place}, {key}"
    return compared


def test_200_random_graphs_equal_numpy() -> None:
    assert sum(agrees(rng, random_graph(rng), f"seed {s}") for s in range(200) for rng in [generator(1, s)]) > 500_000


@pytest.mark.slow
def test_3000_random_graphs_equal_numpy() -> None:
    assert sum(agrees(rng, random_graph(rng), f"seed {s}") for s in range(3000) for rng in [generator(2, s)]) > 10**7


def generator(*seed: int) -> np.random.Generator:
    return np.random.default_rng([30, *seed])


@pytest.mark.parametrize("size", [15, 16, 17, 31, 32, 33, 63, 64, 65, 66, 127, 128, 129, 513])
def test_sizes_around_whole_vectors_and_words(size: int) -> None:
    for seed in range(6):
        rng = generator(3, size, seed)
        program = random_graph(rng, populations=(1, 3), sizes=size)
        agrees(rng, program, f"size {size}, seed {seed}", T=12, B=3)


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 32, 63, 64, 65, 66, 513])
def test_sizes_around_whole_vectors_and_words_in_many_graphs(size: int) -> None:
    for seed in range(60):
        rng = generator(4, size, seed)
        agrees(rng, random_graph(rng, populations=(1, 4), sizes=size), f"size {size}, seed {seed}", T=20)


@pytest.mark.parametrize("sizes", [(1, 12), (30, 40), (64, 66)])
def test_every_batch_from_1_to_70_gives_the_same_samples(sizes: tuple[int, int]) -> None:
    rng = generator(5, *sizes)
    program = random_graph(rng, populations=(4, 6), sizes=sizes)
    inputs, start = random_inputs(rng, program, 9, 70), random_state(rng, program, 70)
    expected = parts(Emulator(program).run(inputs, "all", start))
    for batch in range(1, 71):
        some = slice(batch)
        state = NetworkState(
            {key: value[some] for key, value in start.states.items()},
            {key: value[some] for key, value in start.spikes.items()},
            {key: value[:, some] for key, value in start.history.items()},
        )
        found = parts(emulate(program, cut(inputs, slice(None), some), "all", state, "numba", threads=1 + batch % 3))
        for key, value in expected.items():
            few = value[some] if key.startswith(("states/", "spikes/")) else value[:, some]
            assert np.array_equal(found[key], few), f"batch {batch}, {key}"


@pytest.mark.parametrize(
    ("lanes", "chunk", "threads"), [(1, 1, 1), (16, 1, 2), (64, 3000, 3), (500, 20_000, 2), (10**6, 2**24, 1)]
)
def test_blocks_chunks_and_threads_change_nothing(
    lanes: int, chunk: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk of one step is shorter than most delays, so that the last steps of a source move over several chunks."""
    monkeypatch.setattr(blocks, "LANES", lanes)
    monkeypatch.setattr(run, "CHUNK_BYTES", chunk)
    for seed in range(25):
        rng = generator(6, seed)
        program = random_graph(rng, populations=(2, 6))
        inputs = random_inputs(rng, program, 70, 5)
        expected = Emulator(program).run(inputs, "all")
        assert_equal(emulate(program, inputs, "all", backend="numba", threads=threads), expected, f"seed {seed}")
        few = emulate(program, inputs, backend="numba", threads=threads, keep_spikes=False)
        assert few.spikes == {} and np.array_equal(few.output, expected.output), f"seed {seed}"
        for key, value in parts(expected).items():
            if key.startswith(("states/", "spikes/", "history/")):
                assert np.array_equal(parts(few)[key], value), f"seed {seed}, {key}"


@pytest.mark.parametrize("grouped", [0, 20, 64])
@pytest.mark.parametrize("product", [True, False], ids=["product", "event"])
def test_dense_synapses_by_product_by_event_and_in_groups(
    product: bool, grouped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EVENT_COST", "EVENT_START"):
        monkeypatch.setattr(blocks, name, 1.0 if product else 0.0)
    for name in ("PRODUCT_COST", "OUTPUT_COST"):
        monkeypatch.setattr(blocks, name, 0.0 if product else 1.0)
    monkeypatch.setattr(tables, "GROUPED", grouped)
    for seed in range(25):
        rng = generator(7, seed)
        agrees(rng, random_graph(rng, sizes=(1, 70)), f"seed {seed}")


def random_picture(rng: np.random.Generator) -> Program:
    """Two convolutions into one population, which may cut it into different channels, of a random input and of the
    population itself or a second one."""
    graph = ProgramBuilder()
    low, high = [(0, 1), (0, 255), (0, 300), (-5, 9), (3, 3)][int(rng.integers(5))]
    per_group, groups = int(rng.integers(1, 4)), int(rng.choice([1, 1, 2, 3]))
    outputs = groups * int(rng.choice([1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 33]))
    picture = (per_group * groups, int(rng.integers(1, 12)), int(rng.integers(1, 12)))
    graph.input("x", picture, low, high)
    kernel = random_weight(rng, (outputs, per_group, *rng.integers(1, 4, 2)), 8, True)
    pairs = {name: tuple(rng.integers(least, 4, 2).tolist()) for name, least in (("stride", 1), ("dilation", 1))}
    pairs["padding"] = tuple(rng.integers(0, 7, 2).tolist())
    first = Convolution.of(kernel, picture, groups=groups, **pairs)  # type: ignore[arg-type]
    if min(first.out_shape) < 1:
        raise ProgramError("nothing is left of the picture")
    models: dict[str, tuple[dict[str, int], dict[str, int]]] = {
        "lif": ({"A": 3900, "TH": int(rng.integers(200))}, {"K": 12}),
        "alif": ({"A": 3900, "Rho": 4000, "Ja": 9, "B0": int(rng.integers(200))}, {"K": 12}),
    }
    model = str(rng.choice(list(models)))
    graph.population("a", first.out_shape, model, *models[model], bias=int(rng.integers(-20, 20)))
    graph.project("x", "a", first, exponent=int(rng.integers(3)), delay=int(rng.integers(0, 4)))
    again = first.out_shape if rng.random() < 0.5 else (1, first.out_shape[2], first.out_shape[0] * first.out_shape[1])
    reach = rng.integers(0, 2, 2)
    own = random_weight(rng, (again[0], again[0], *(2 * reach + 1)), 8, True)
    back = Convolution.of(own, again, padding=(int(reach[0]), int(reach[1])))
    graph.project("a", "a", back, delay=int(rng.integers(1, 5)))
    size = int(np.prod(first.out_shape))
    graph.population("b", int(rng.integers(1, 40)), "li", {"A": 4000}, {"K": 12})
    target = graph.build().populations[1].size
    graph.project("a", "b", Sparse.from_matrix(rng.integers(-1, 2, (target, size)).astype(np.int8)))
    graph.project("x", "b", rng.integers(-3, 4, (target, int(np.prod(picture)))).astype(np.int8), delay=2)
    return graph.build()


def pictures(count: int, *seed: int) -> int:
    made = 0
    for index in range(4 * count):
        rng = generator(*seed, index)
        try:
            program = random_picture(rng)
        except ProgramError:
            continue
        agrees(rng, program, f"picture {index}", T=8)
        made += 1
    return made


def test_convolutions_of_every_stride_padding_dilation_group_and_payload() -> None:
    assert pictures(30, 8) > 60


@pytest.mark.slow
def test_many_convolutions() -> None:
    assert pictures(300, 9) > 600


def test_the_lanes_of_pictures_are_used_and_another_cut_into_channels_falls_back() -> None:
    kinds: set[int] = set()
    plain: set[bool] = set()
    for index in range(40):
        try:
            program = random_picture(generator(8, index))
        except ProgramError:
            continue
        for cells in (cells for group in tables.prepared(program) for cells in group):
            kinds |= {visit.record["kind"] for visit in cells.visits}
            plain.add(cells.plain)
    assert kinds >= {records.SPARSE, records.CONVOLUTION, records.DENSE} and plain == {True, False}


@pytest.mark.parametrize("product", [True, False], ids=["product", "event"])
@pytest.mark.parametrize("kind", ["dense", "sparse", "convolution"])
def test_sums_on_the_way_wrap_modulo_two_to_the_32(kind: str, product: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """[127, 120, -127, -120] << 23 of inputs 2 pass 32 bits twice on the way to 0, of inputs up to 2^24 more often."""
    if product:
        monkeypatch.setattr(blocks, "by_product", lambda visit, values, size: True)
    weight = np.array([[127, 120, -127, -120]], np.int8)
    for low, high, exponent in ((2, 2, 23), (255, 255, 23), (2**24, 2**24, 23), (-(2**24), -(2**24), 20)):
        graph = ProgramBuilder()
        graph.input("x", 4, low, high)
        graph.population("u", 1, "li", {"A": 4096}, {"K": 12}, bias=3)
        synapses: dict[str, Any] = {
            "dense": Dense(weight),
            "sparse": Sparse.from_matrix(weight),
            "convolution": Convolution.of(weight.reshape(1, 1, 1, 4), (1, 1, 4)),
        }
        graph.project("x", "u", synapses[kind], exponent=exponent)
        output = emulate(graph.build(), np.full((3, 2, 4), low), backend="numba").output
        assert output[:, :, 0].T.tolist() == [[3, 6, 9]] * 2


def test_float32_products_are_taken_only_below_their_bound() -> None:
    """254 * 66,052 is below 2^24, 254 * 66,053 above."""
    for high, carrier in ((66_052, np.float32), (66_053, np.float64)):
        graph = ProgramBuilder()
        graph.input("x", 2, 0, high)
        graph.population("u", 1, "li", {"A": 0}, {"K": 12})
        graph.project("x", "u", np.array([[127, 127]], np.int8))
        program = graph.build()
        visit = tables.prepared(program)[0][0].visits[0]
        assert isinstance(visit, tables.DenseVisit)
        assert (visit.bound < 2**24, visit.factor.dtype) == (carrier is np.float32, carrier)
        values = np.random.default_rng(0).integers(high - 9, high + 1, (50, 3, 2))
        assert np.array_equal(visit.product(values), (values @ np.array([127, 127])).astype(np.int32))


def test_components_are_cycles_in_an_order_that_respects_all_projections() -> None:
    seen = set()
    for seed in range(100):
        program = random_graph(generator(10, seed), populations=(1, 8))
        groups = components(program.populations, program.projections)
        place = {item.name: index for index, group in enumerate(groups) for item in group}
        assert sorted(place) == sorted(item.name for item in program.populations)
        joined = [it for it in program.projections if it.source in place]
        assert all(place[item.source] <= place[item.target] for item in joined), f"seed {seed}"
        for group in groups:
            names = [item.name for item in group]
            assert names == [item.name for item in program.populations if item.name in names]
            for name in names if len(names) > 1 else ():
                assert _reached(name, joined, set(names)) == set(names), f"seed {seed}"
            seen.add(len(group))
    assert {1, 2, 3} <= seen


def _reached(start: str, projections: list[Any], inside: set[str]) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        for item in projections:
            if item.source == name and item.target in inside - reached:
                reached.add(item.target)
                waiting.append(item.target)
    return reached


def test_tables_are_made_once_for_a_program_and_go_with_it() -> None:
    rng = generator(11)
    program = random_graph(rng)
    inputs = random_inputs(rng, program, 4, 1)
    before = len(tables._kept)
    state = emulate(program, inputs, backend="numba").final_state
    kept = tables._kept[id(program)]
    emulate(program, inputs, initial_state=state, backend="numba")
    assert tables._kept[id(program)] is kept and len(tables._kept) == before + 1
    del program
    assert len(tables._kept) == before


def test_stored_traces_of_graphs_and_of_a_loihi_emulator_are_reproduced() -> None:
    compared = cases = 0
    for case in load_cases(golden_folder("graphs")):
        if case.refused is None:
            trace = emulate(case.program(), case.inputs(), "all", backend="numba")
            assert list(differences(trace, case.expected())) == [], case.name
            compared += sum(value.size for value in case.expected().values())
            cases += 1
    for path in sorted(golden_folder("loihi1").glob("*.npz")):
        program, inputs, expected = load_trace(path)
        assert list(differences(emulate(program, inputs, "all", backend="numba"), expected)) == [], path.name
        cases += 1
    assert cases > 100 and compared > 10**6


def test_auto_is_compiled_for_every_graph() -> None:
    for seed in range(5):
        rng = generator(12, seed)
        program = random_graph(rng)
        assert emulate(program, random_inputs(rng, program, 2, 1)).engine == run.ENGINE
