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
        (
            {"value_range": "12"},
            "value_range is '12'; expected the value of black and a larger one of white. Type --set",
        ),
        ({"value_range": "5..1"}, "value_range is '5..1'; expected the value of black and a larger one of white."),
        (
            {"hold_out": 0.6},
            "hold_out is 0.6; expected a share from 0 (none) to 0.5 (half). Type --set hold_out=0.1, or",
        ),
        ({"hold_out": -0.1}, "hold_out is -0.1; expected a share"),
        ({"hold_out": float("nan")}, "hold_out is nan; expected a share"),
        ({"background": "snow-ish"}, "background is 'snow-ish'; expected a colour such as white"),
    ],
)
def test_wrong_settings_say_what_to_type(setting, message):
    with pytest.raises(CardiganError) as caught:
        DataSettings(**setting)
    assert message in str(caught.value)


@pytest.mark.parametrize("share", [None, 0, 0.1, 0.5])
def test_a_share_to_hold_out_is_none_or_at_most_half(share):
    assert DataSettings(hold_out=share).hold_out == share
