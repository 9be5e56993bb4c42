import numpy as np

from cardigan.data import DataSettings, scan
from cardigan.data.survey import survey


def test_every_animal_of_the_zoo_gets_its_verdict(zoo, animals):
    findings = {finding.item.name: finding for finding in survey(zoo, DataSettings())}
    assert findings.keys() == animals.keys()
    for name, (_, reason, notes) in animals.items():
        if reason is None:
            assert findings[name].reason is None, name
            assert set(findings[name].notes) == set(notes), name
        else:
            assert findings[name].reason.startswith(reason), name
    assert findings["turned.jpg"].size == (32, 24)
    assert findings["good.png"].digest == findings["good-copy.bmp"].digest


def test_unreadable_files_are_listed(made):
    def draw(index):
        if index == 1:
            raise PermissionError(13, "Permission denied")
        return np.full((8, 8), index, np.uint8)

    found = scan(made(3, pixels=draw, remarks=["A remark."]))
    assert found.bad == (("1", "cannot be read: Permission denied"),)
    assert found.warnings[0] == "A remark."
