import pytest

from cardigan.data import DataSettings
from cardigan.errors import CardiganError


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"channels": 5}, "channels is 5; expected 1 (grey)"),
        ({"fit": "squash"}, "fit is 'squash'; expected crop or stretch or pad or cut. Type --set fit=crop."),
        ({"on_bad": "x"}, "on_bad is 'x'; expected skip or stop. Type --set on_bad=skip."),
        ({"duplicates": "x"}, "duplicates is 'x'; expected drop or keep."),
        ({"max_megapixels": 0}, "max_megapixels is 0; expected more than 0."),
        ({"background": "snow-ish"}, "background is 'snow-ish'; expected a colour such as white"),
    ],
)
def test_wrong_settings_say_what_to_type(setting, message):
    with pytest.raises(CardiganError) as caught:
        DataSettings(**setting)
    assert message in str(caught.value)
