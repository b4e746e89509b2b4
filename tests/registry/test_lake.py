"""The record written as partitioned Parquet is the record as it is now, however often it was written before."""

import shutil

from registry import Registry, history, spark


def differing(clinic, lake):
    """Write the lake; return the tables whose rows there are not those of the registry."""
    with Registry.open(clinic.path) as registry:
        spark.write_partitions(registry, lake)
        con, found = registry.con, []
        for name in spark.base_tables():
            files = f"read_parquet('{lake}/{name.replace('.', '/')}/**/*.parquet', hive_partitioning = true)"
            types = con.sql(f"describe {name}").fetchall()
            mine = f"select {', '.join(c for c, *_ in types)} from {name}"
            there = f"select {', '.join(f'cast({c} as {t}) as {c}' for c, t, *_ in types)} from {files}"
            both = f"(({mine} except all {there}) union all ({there} except all {mine}))"
            if con.sql(f"select count(*) from {both}").fetchone() != (0,):
                found.append(name)
        return found


def test_the_lake_follows_what_is_loaded_corrected_and_retracted(clinic, tmp_path):
    lake = tmp_path / "lake"
    clinic.write_good()
    clinic.load()
    assert differing(clinic, lake) == []
    clinic.write("measurements", "patient,site,side,date,instrument,version,subscale,value,unit\n"
                                 "MRN-4711,knee,left,2022-09-01,KOOS,,pain,80,\n"
                                 "MRN-4711,knee,left,2022-10-01,KOOS,,pain,81,\n")  # fmt: skip
    assert clinic.load().new == 2
    assert differing(clinic, lake) == []
    assert len(list((lake / "record" / "measurement").iterdir())) == 2
    history.retract(clinic.path, "measurements.csv", [2, 3], reason="another patient", load=2)
    assert differing(clinic, lake) == []
    assert len(list((lake / "record" / "measurement").iterdir())) == 1
    clinic.write("centres", "centre,country\nZRH,DE\n")
    assert clinic.load(reason="typed wrongly").corrected == 1
    assert differing(clinic, lake) == []
    assert {p.name for p in lake.iterdir()} == {"record", "catalogue", "log"}


def test_what_a_broken_off_writing_left_is_cleared(clinic, tmp_path):
    clinic.write_good()
    clinic.load()
    lake = tmp_path / "lake"
    assert differing(clinic, lake) == []
    shutil.copytree(lake / "record", lake / ".new" / "record")
    shutil.copytree(lake / "record", lake / ".old" / "record")
    assert differing(clinic, lake) == [] and not list(lake.glob(".*"))
