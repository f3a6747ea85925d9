"""Lesson 02: its experiments hold the algebra they teach, and its figures draw their data."""

from __future__ import annotations

import math
from statistics import mean

import pytest
import torch

import lora_lessons as ll
from lora_lessons.course import recorded
from lora_lessons.course.checks.core import RIGHT
from lora_lessons.course.lesson02 import explorer, figures, tables
from lora_lessons.course.statistics import half_width95
from lora_lessons.experiments import amplification, first_step, sweeps
from lora_lessons.experiments import lesson02 as experiment
from lora_lessons.experiments.lesson02 import chance, right_directions, similarity
from lora_lessons.experiments.task import load_task


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=ll.generator(seed), dtype=torch.float64)


# --- the first step ----------------------------------------------------------------------------


def test_at_the_start_only_B_has_a_gradient():
    norms = first_step.gradients_at_start()
    assert norms["A"] == 0 and norms["B"] > 0.01


@pytest.mark.parametrize("r", [2, 8])
def test_the_first_sgd_step_is_the_full_gradient_seen_through_A(r):
    rows = first_step.first_sgd_step(lr=0.1, r=r)
    assert len(rows) == 6
    for row in rows:
        assert row["error"] < 1e-12
        assert row["chance"] == r / 64
        assert 0 < row["kept"] < 1


def test_a_wrong_formula_for_the_first_step_would_be_seen(monkeypatch):
    """With s for s squared the error is that of a factor of two, not of rounding."""
    right = first_step._step_row
    monkeypatch.setattr(
        first_step, "_step_row", lambda name, layer, G, A, lr: right(name, layer, G, A, lr / 2)
    )
    assert all(row["error"] > 0.9 for row in first_step.first_sgd_step())


def test_weight_decay_alone_moves_A():
    for row in first_step.first_adamw_step((0.0, 0.01, 0.1), lr=1e-3):
        assert math.isclose(row["A"], 1e-3 * row["decay"], rel_tol=1e-6, abs_tol=1e-15)
        assert row["B"] > 0


def test_no_grad_around_the_base_spoils_every_block_but_the_topmost():
    errors = {row["layer"]: row["error"] for row in first_step.frozen_is_not_no_grad()}
    assert len(errors) == 6
    for name, error in errors.items():
        assert error == 0 if "layers.2" in name else error > 0.05


def test_the_mistake_is_taken_back():
    model, batch = first_step.adapted_and_batch()
    right = {n: g["B"].clone() for n, g in first_step.branch_gradients(model, batch).items()}
    with (
        pytest.raises(ZeroDivisionError),
        first_step.no_grad_around_base(first_step.lora_layers(model)),
    ):
        raise ZeroDivisionError
    after = first_step.branch_gradients(model, batch)
    assert all(torch.equal(after[name]["B"], gradient) for name, gradient in right.items())


def test_other_factors_of_the_same_product_are_the_same_function():
    twin = first_step.same_product()
    assert twin["update"] < 1e-12 and twin["logits"] < 1e-5
    assert twin["A"] > 0.1 and twin["later"] > 0.01


# --- what trains -------------------------------------------------------------------------------


def test_what_trains_is_counted_on_a_real_model():
    counted = experiment.what_trains(r=4, steps=3, batch_size=2, length=16)
    assert counted["named"] == counted["injected"] == 6  # q and v in three blocks
    assert counted["trained_tensors"] == 12 and counted["trained_outside"] == 0
    assert counted["largest_share"] == 4 * (64 + 32) / (64 * 32)  # v: 64 -> 32
    assert counted["changed"] == 0
    assert 1 <= counted["rank"] <= counted["r"] == 4


def test_a_base_that_moves_is_counted(monkeypatch):
    def fit_and_spoil(model, *args, **kwargs):
        history = fit(model, *args, **kwargs)
        with torch.no_grad():
            next(p for p in model.parameters() if not p.requires_grad).add_(1)
        return history

    fit = experiment.fit
    monkeypatch.setattr(experiment, "fit", fit_and_spoil)
    # the embedding is tied to the output layer: one tensor under two names
    assert experiment.what_trains(steps=1, batch_size=2, length=16)["changed"] == 2


# --- the overlap of subspaces ------------------------------------------------------------------


def test_the_overlap_of_a_matrix_with_itself_is_one():
    U = right_directions(normal(5, 17), 5)
    torch.testing.assert_close(U @ U.T, torch.eye(5, dtype=torch.float64))
    phi = similarity(U, U)
    torch.testing.assert_close(phi, torch.ones_like(phi))  # the smaller lies in the larger


def test_the_overlap_of_orthogonal_rows_is_zero_and_of_shared_ones_their_share():
    eye = torch.eye(6, dtype=torch.float64)
    assert not similarity(eye[:3], eye[3:]).any()
    phi = similarity(eye[:3], eye[[0, 4, 5]])
    torch.testing.assert_close(phi[:, -1], 1 / torch.tensor([1, 2, 3], dtype=torch.float64))


def test_the_overlap_is_that_of_the_projectors():
    M, N = normal(7, 19), normal(11, 19, seed=1)
    U, V = right_directions(M, 7), right_directions(N, 11)
    for i, j in ((1, 1), (3, 5), (7, 2), (7, 11)):
        P, Q = U[:i].T @ U[:i], V[:j].T @ V[:j]
        expected = torch.trace(P @ Q) / min(i, j)
        torch.testing.assert_close(similarity(U, V)[i - 1, j - 1], expected)


def test_the_overlap_does_not_see_how_the_product_is_factored():
    B, A, R = normal(13, 4), normal(4, 19, seed=1), normal(4, 4, seed=2)
    one = right_directions(B @ A, 4)
    other = right_directions((B @ R) @ torch.linalg.solve(R, A), 4)
    torch.testing.assert_close(similarity(one, other), similarity(one, one))


def test_chance_is_the_mean_over_random_subspaces():
    draws = []
    for seed in range(200):
        U, V = (
            right_directions(normal(3, 20, seed=seed), 3),
            right_directions(normal(6, 20, seed=1000 + seed), 6),
        )
        draws.append(similarity(U, V))
    phi = torch.stack(draws).mean(0)
    for i, j in ((1, 1), (3, 3), (2, 6), (3, 1)):
        assert phi[i - 1, j - 1].item() == pytest.approx(chance(i, j, 20), abs=0.02)


@pytest.fixture(scope="module")
def overlap():
    return experiment.subspace_overlap(
        small=2, large=4, lrs=(2e-3, 1e-6), seeds=(0, 1), steps=4, batch_size=2, length=16,
        valid_blocks=4,
    )  # fmt: skip


def test_every_pair_of_runs_is_compared_and_the_rate_is_tuned(overlap):
    assert len(overlap["rows"]) == 2 * (2 + 2 + 1)  # q and v; A and BA, untrained A alone
    assert overlap["lr"] == {"2": 2e-3, "4": 2e-3}  # the other hardly trains
    for row in overlap["rows"]:
        phi = torch.tensor(row["phi"])
        assert phi.shape == (2, 4)
        assert phi.min() >= 0 and phi.max() <= 1 + 1e-9
        assert len(row["equal"]) == 2
    assert all(0 < moved < 1 for run in overlap["moved"].values() for moved in run)


def test_no_two_runs_share_a_seed(monkeypatch):
    seen = []

    def spy(model, jobs, *args, **kwargs):
        seen.extend(job.seed for job in jobs)
        return train_many(model, jobs, *args, **kwargs)

    train_many = sweeps.train_many
    monkeypatch.setattr(sweeps, "train_many", spy)
    experiment.subspace_overlap(
        small=2, large=4, seeds=(0, 1, 2), steps=1, batch_size=1, length=16, valid_blocks=2
    )
    assert len(seen) == len(set(seen)) == 9


# --- W in the directions of the update (the paper's section 7.3) ---------------------------------


def test_the_own_directions_hold_the_largest_singular_values():
    W = normal(13, 9)
    values = torch.linalg.svdvals(W)
    for r in (1, 4, 9):
        expected = values[:r].square().sum().sqrt().item()
        own = amplification.leading_directions(W, r)
        assert amplification.held(W, own) == pytest.approx(expected)


def test_an_update_that_amplifies_a_part_of_W_three_times_has_the_factor_three():
    W, gen = normal(13, 9), ll.generator(1)
    U, V = amplification.random_directions(W, 2, gen)
    update = 3 * U @ (U.T @ W @ V) @ V.T
    norms = amplification.layer_norms(W, update, 2, gen)
    assert norms["update"] / norms["in_update"] == pytest.approx(3)
    assert norms["in_own"] > norms["in_update"]
    assert norms["W"] == pytest.approx(W.norm().item())


@pytest.mark.parametrize(("shape", "r"), [((20, 12), 3), ((12, 20), 8), ((9, 9), 9)])
def test_chance_is_the_root_mean_square_over_random_directions(shape, r):
    W, gen = normal(*shape), ll.generator(0)
    squares = [
        amplification.held(W, amplification.random_directions(W, r, gen)) ** 2 for _ in range(400)
    ]
    assert mean(squares) ** 0.5 == pytest.approx(amplification.held_by_chance(W, r), rel=0.05)


def test_the_papers_random_columns_are_chance_and_its_factors_follow():
    four, sixty_four = figures.paper_table()
    for row in (four, sixty_four):
        assert row["chance"] == pytest.approx(row["in_random"], abs=0.01)
    assert four["factor"] == pytest.approx(21.5, abs=0.1)  # the paper's 21.5 = 6.91 / 0.32
    assert sixty_four["factor"] == pytest.approx(2, abs=0.2)  # its appendix H.4: "around 2"
    assert round(four["over_chance"]) == 16 and round(sixty_four["over_chance"]) == 6


def test_every_rank_is_tuned_and_no_two_runs_share_a_seed(monkeypatch):
    seen, train_many = [], sweeps.train_many

    def spy(model, jobs, *args, **kwargs):
        seen.extend(jobs)
        return train_many(model, jobs, *args, **kwargs)

    monkeypatch.setattr(sweeps, "train_many", spy)
    data = amplification.amplification(
        ranks=(2, 4), lrs=(1e-6, 2e-3), seeds=(0, 1), steps=4, batch_size=2, length=16,
        valid_blocks=4,
    )  # fmt: skip
    assert data["lr"] == {"2": 2e-3, "4": 2e-3}  # the other hardly trains
    assert [(job.config.r, job.lr) for job in seen] == [
        (2, 1e-6), (2, 2e-3), (4, 1e-6), (4, 2e-3), (2, 2e-3), (4, 2e-3),
    ]  # fmt: skip
    assert len({job.seed for job in seen}) == 4  # two ranks, two seeds; both rates share the first
    assert [(row["r"], row["module"]) for row in data["rows"]] == [
        (2, "q_proj"), (2, "v_proj"), (4, "q_proj"), (4, "v_proj"),
    ]  # fmt: skip
    for row in data["rows"]:
        assert all(len(row[key]) == 2 for key in row.keys() - {"r", "module"})
        assert row["in_own"][0] < row["W"][0] and row["W"][0] == row["W"][1]
        for factor, update, inside in zip(
            row["factor"], row["update"], row["in_update"], strict=True
        ):
            assert factor == pytest.approx(update / inside)


def test_the_norms_are_those_of_the_trained_update():
    """By hand, from one run: the update is alpha / r times B A."""
    how = {"steps": 4, "batch_size": 2, "length": 16}
    data = amplification.amplification(ranks=(2,), lrs=(2e-3,), seeds=(0,), **how)
    model, train, _ = load_task("nano", 16, "cpu")
    job = amplification.Job(amplification.config(2), 2e-3, 2000)
    (run,) = sweeps.train_many(model, [job], train, progress=False, **how)
    updates = [2 * (B @ A) for name, (A, B) in run.factors.items() if name.endswith("q_proj")]
    squares = [update.double().square().sum().item() for update in updates]
    assert data["rows"][0]["update"] == pytest.approx([mean(squares) ** 0.5], rel=1e-4)


# --- figures and explorer ----------------------------------------------------------------------


def test_the_curves_draw_the_means_and_chance(overlap):
    figure = figures.overlap_curves(overlap)
    assert len(figure.axes) == 4
    row = figures.find(overlap, "small and large", "q_proj", "A")
    drawn = torch.as_tensor(figure.axes[0].lines[0].get_ydata())
    torch.testing.assert_close(drawn, torch.tensor(row["equal"]).mean(0).to(drawn.dtype))
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == [
        "r = 2 and r = 4", "r = 4, two seeds", "r = 2 and r = 4, untrained", "chance, i / width",
    ]  # fmt: skip
    assert len(figure.axes[2].lines) == 3  # the untrained update has no directions


def test_the_table_of_norms_and_its_figure_draw_the_means(capsys):
    data = recorded.load("02_amplification").data
    rows = figures.amplification_table(data)
    figure = figures.held_norms(data)
    for axis, module in zip(figure.axes, ("q_proj", "v_proj"), strict=True):
        mine = [row for row in rows if row["layer"] == module]
        drawn = {line.get_label(): line.get_ydata().tolist() for line in axis.lines}
        for key, label in (*figures.DIRECTIONS.items(), ("update", "the update")):
            assert drawn[label] == [row[key] for row in mine]
        assert drawn["chance"] == [row["chance"] for row in mine]
    table = tables.amplification(rows + figures.paper_table(), "all")
    assert len(table.rows) == 6 + 2
    assert table.rows[0][0] == "q_proj, 4" and "±" in table.rows[0][-1]
    assert "±" not in table.rows[-1][-1]


def test_the_maps_and_the_table_hold_the_overlap(overlap):
    figure = figures.overlap_maps(overlap)
    drawn = torch.as_tensor(figure.axes[1].images[0].get_array().data)
    expected = figures.find(overlap, "small and large", "v_proj", "A")["phi"]
    torch.testing.assert_close(drawn, torch.tensor(expected, dtype=drawn.dtype))
    table = tables.overlaps(overlap)
    assert len(table.rows) == len(overlap["rows"]) + 1
    first = [curve[0] for curve in overlap["rows"][0]["equal"]]
    assert table.rows[0][2].startswith(f"{sum(first) / 2:.3f} ±")
    assert table.rows[-1][2] == f"{1 / 64:.3f}"


def settled(table) -> list[bool]:
    return [row[-1] != "not settled" for row in table.rows]


def test_the_sentences_on_overlaps_are_those_of_the_gaps():
    data = recorded.load("02_subspaces").data
    assert settled(tables.ranks_apart(data, 8)) == [True] * 4
    assert settled(tables.ranks_apart(data, 1)) == [False] * 4
    # in q, in v; r = 8 and 64, then two runs of 64
    assert settled(tables.products_and_factors(data, 8)) == [False, True, False, True]
    assert settled(tables.products_and_factors(data, 1)) == [False] * 4


def test_the_sentences_on_amplification_are_those_of_the_gaps():
    data = recorded.load("02_amplification").data
    assert settled(tables.factor_falls(data)) == [False, True, True, True]
    assert settled(tables.over_chance(data)) == [True] * 6


def test_what_the_first_step_moved_is_an_option():
    assert figures.what_moved(True, True) == "both"
    assert figures.what_moved(False, True) == "B alone"


@pytest.mark.parametrize("shared", [0, 3, 8])
def test_the_explorers_matrices_share_what_they_say(shared):
    grid = explorer.phi(shared, 64, 4096)
    assert grid.shape == (8, 64)
    if shared:
        assert grid[shared - 1, shared - 1] > 0.85
    if shared < 8:
        assert grid[-1, -1].item() == pytest.approx(shared / 8, abs=0.1)


def test_the_explorer_shows_chance_as_agreement_in_a_narrow_layer():
    assert explorer.phi(0, 64, 64)[-1, -1].item() == pytest.approx(1)
    assert explorer.phi(0, 64, 4096)[-1, -1] < 0.05


def test_every_control_of_the_explorer_changes_the_picture():
    (panel,) = explorer.EXPLORERS.values()
    seen = panel.drive()
    for name, control in panel.controls.items():
        shown = {seen[name, value] for value in control.probes()}
        assert len(shown) == 3 and all('<img alt="' in html for html in shown)


# --- the recorded runs, and what the page says of them -------------------------------------------


def test_the_recorded_overlap_bears_the_verdict_of_the_page():
    data = recorded.load("02_subspaces").data
    pair, twins = "small and large", "large, two seeds"

    def mean_phi(pair, module, of, i, j):
        return figures.find(data, pair, module, of)["phi"][i - 1][j - 1]

    for module in ("q_proj", "v_proj"):
        for of in ("A", "BA"):
            assert 0.3 < mean_phi(pair, module, of, 1, 1) < 0.5  # far above chance, below the paper
            assert mean_phi(pair, module, of, 8, 8) > 0.3  # and hardly less for all eight
            assert mean_phi(twins, module, of, 8, 8) > mean_phi(pair, module, of, 8, 8) + 0.05
        untrained = mean_phi(experiment.UNTRAINED, module, "A", 1, 1)
        assert untrained == pytest.approx(chance(1, 1, data["width"]), abs=0.002)
        assert mean_phi(pair, module, "A", 8, 64) > 0.55 > 2 * chance(8, 64, data["width"])


def test_the_recorded_differences_of_overlap_are_those_of_the_page():
    """Seed by seed, each with its 95 % interval."""
    data = recorded.load("02_subspaces").data

    def apart(one, other, i):
        values = (
            [curve[i - 1] for curve in figures.find(data, *row)["equal"]] for row in (one, other)
        )
        differences = [a - b for a, b in zip(*values, strict=True)]
        return round(mean(differences), 2), round(half_width95(differences), 2)

    pair, twins = "small and large", "large, two seeds"
    more = {
        (module, i): apart((twins, module, "A"), (pair, module, "A"), i)
        for module in ("q_proj", "v_proj")
        for i in (1, 8)
    }
    assert more == {
        ("q_proj", 1): (0.13, 0.08), ("q_proj", 8): (0.08, 0.02),
        ("v_proj", 1): (0.05, 0.11), ("v_proj", 8): (0.07, 0.02),
    }  # fmt: skip
    A_less_BA = {
        (of, module, i): apart((of, module, "A"), (of, module, "BA"), i)
        for of in (pair, twins)
        for module in ("q_proj", "v_proj")
        for i in (1, 8)
    }
    sure = {key for key, (middle, half) in A_less_BA.items() if key[2] == 1 and abs(middle) > half}
    assert sure == {(twins, "q_proj", 1)}
    assert A_less_BA[twins, "q_proj", 1] == (0.05, 0.03)
    assert all(abs(middle) <= 0.02 for key, (middle, _) in A_less_BA.items() if key[2] == 8)


def test_the_recorded_amplification_bears_the_verdict_of_the_page():
    data = recorded.load("02_amplification").data
    table = {(row["layer"], row["r"]): row for row in figures.amplification_table(data)}

    def of(key, digits):
        return {
            module: [round(table[module, r][key], digits) for r in (4, 8, 64)]
            for module in ("q_proj", "v_proj")
        }

    assert of("factor", 1) == {"q_proj": [7.9, 5.4, 0.9], "v_proj": [8.0, 5.4, 0.7]}
    assert of("half", 1) == {"q_proj": [3.5, 0.5, 0.1], "v_proj": [0.3, 0.4, 0.0]}
    assert of("over_chance", 2) == {"q_proj": [2.73, 2.35, 1.27], "v_proj": [1.32, 1.28, 1.05]}
    four = table["q_proj", 4]
    assert (round(four["in_update"], 2), round(four["in_own"], 2)) == (0.74, 8.34)
    by_chance = [round(table[m, 4]["update"] / table[m, 4]["chance"]) for m in ("q_proj", "v_proj")]
    assert by_chance == [21, 11]
    assert all(row["factor"] < row["update"] / row["chance"] for row in table.values())
    for row in data["rows"]:  # with each seed, not in the mean alone
        both = zip(row["in_update"], row["in_random"], row["chance"], strict=True)
        assert all(inside > max(control, chance) for inside, control, chance in both)
    assert data["lr"] == {"4": 0.003, "8": 0.003, "64": 0.001}


@pytest.mark.parametrize("name", ["02_what_trains", "02_what_trains_smollm2"])
def test_the_recorded_counts_bear_the_claims(name):
    counted = recorded.load(name).data
    assert counted["named"] == counted["injected"]
    assert counted["trained_outside"] == counted["changed"] == 0
    assert counted["largest_share"] < 0.1 and counted["rank"] == counted["r"]


def test_gradients_whose_terms_cancel_are_drawn_again():
    """With this seed the sum x A^T is small beside its terms: float32 had too few digits for it."""

    def gradients_by_hand(x, G, W, A, B, scaling):
        grad_A = scaling * torch.einsum("bto,or,bti->ri", G, B, x)
        grad_B = scaling * torch.einsum("bto,bti,ri->or", G, x, A)
        return grad_A, grad_B, G @ W + scaling * torch.einsum("bto,or,ri->bti", G, B, A)

    verdict = ll.lesson("02").check.gradients_by_hand(gradients_by_hand, seed=1209)
    assert verdict.outcome == RIGHT, verdict
