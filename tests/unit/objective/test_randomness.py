import torch

from engine.objective.randomness import derive_seed, sample_generator


def test_seed_is_a_stable_63_bit_function_of_its_three_arguments() -> None:
    # A changed value would make every resumed run draw other numbers than it drew before the update.
    assert derive_seed(42, 0, "noise") == 5587437309719745388
    seeds = {derive_seed(s, p, w) for s in range(3) for p in range(50) for w in ("noise", "timestep", "crop")}
    assert len(seeds) == 3 * 50 * 3
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_arguments_do_not_run_into_each_other() -> None:
    assert derive_seed(1, 11, "x") != derive_seed(11, 1, "x")
    assert derive_seed(1, 1, "1/x") != derive_seed(1, 11, "x")


def test_generator_repeats_and_leaves_the_global_one_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = torch.randn(8, generator=sample_generator(7, 123, "noise"))
    again = torch.randn(8, generator=sample_generator(7, 123, "noise"))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.randn(8, generator=sample_generator(7, 124, "noise")))
    assert torch.equal(before, torch.get_rng_state())
