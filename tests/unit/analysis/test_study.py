import pandas as pd

from caft.analysis import TABLES
from caft.analysis.metric_tables import Judging
from caft.analysis.study import read_study, read_tables, render, save_tables, tables_of
from caft.tables import parquet

IDS = list("abcd")


def test_every_table_of_the_analysis_is_listed_made_and_read_back(tmp_path):
    metric = pd.DataFrame({"item_id": IDS, "split": "test", "value": [1.0, 3.0, 2.0, 4.0]})
    right = metric.assign(value=[1.0, 1.0, 0.0, 0.0])
    parquet.write("metrics", metric.assign(warm_up=False), tmp_path / "m.parquet")
    parquet.write("metrics", right.assign(warm_up=False), tmp_path / "right.parquet")
    paths = {"m": str(tmp_path / "m.parquet")}
    study = read_study(paths, str(tmp_path / "right.parquet"), [], None)
    assert study.wrong.to_dict() == {"a": False, "b": False, "c": True, "d": True}
    items = pd.DataFrame({"item_id": IDS, "category": "x", "answer": "A"})
    buckets = pd.DataFrame({"item_id": IDS, "split": "test", "bucket": "easy"})
    tables = tables_of(study, items, buckets, Judging(reference="m", draws=9))
    assert tuple(tables) == TABLES
    assert tables["metric_quality"]["roc_auc"].tolist() == [0.75, 0.75]
    assert render(tables).split("\n")[1].split()[:5] == ["m", "4", "0", "False", "0.750"]
    save_tables(tables, tmp_path / "saved", "sums", "tiny")
    found = read_tables(sorted((tmp_path / "saved").glob("*.parquet")))
    assert set(found) == set(TABLES)
    assert found["metric_quality"]["dataset"].tolist() == ["sums", "sums"]
