"""The demo is one chain of jobs."""

from app.engine import demo, snapshots


def test_the_demo_is_one_chain_that_can_be_found_again(empty_home, monkeypatch):
    assert demo.demo_jobs() == []
    monkeypatch.setenv("CFA_DEMO_SETTINGS", "train.epochs=1 data.val_fraction=0.2")
    demo.start_demo()
    chain = demo.demo_jobs()
    assert [job.kind for job in chain] == ["train"] * 4 + ["compare"]
    configs = [snapshots.find_run(job.run_id).folder.config for job in chain[:4]]
    assert [config.method for config in configs] == ["pgd-at", "pgd-at-cfa", "trades", "trades-cfa"]
    assert {(config.train.epochs, config.data.val_fraction) for config in configs} == {(1, 0.2)}
    demo.start_demo()
    assert {job.id for job in demo.demo_jobs()}.isdisjoint(job.id for job in chain)
