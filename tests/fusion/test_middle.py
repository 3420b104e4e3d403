import torch

from trisep.fusion.middle import condition_bottleneck, per_query


def test_each_query_is_tiled_behind_its_mixtures_bottleneck() -> None:
    maps = [torch.randn(2, 3, 8, 4), torch.randn(2, 5, 4, 2)]
    vectors = torch.randn(2, 3, 6)
    skip, bottleneck = condition_bottleneck(maps, vectors)
    assert skip.shape == (6, 3, 8, 4) and bottleneck.shape == (6, 11, 4, 2)
    for mixture in range(2):
        for query in range(3):
            row = 3 * mixture + query
            assert torch.equal(skip[row], maps[0][mixture])
            assert torch.equal(bottleneck[row, :5], maps[1][mixture])
            assert (bottleneck[row, 5:] == vectors[mixture, query][:, None, None]).all()


def test_queries_go_back_to_their_mixtures() -> None:
    rows = torch.arange(6.0)[:, None, None, None].expand(6, 1, 4, 2)
    assert per_query(rows, 3)[..., 0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
