# SPDX-License-Identifier: Apache-2.0
import pytest

import hooking


def test_log_is_a_line_on_standard_error(capsys):
    hooking.log("gruß")
    hooking.log(ValueError("of any type"))
    assert capsys.readouterr() == ("", "gruß\nof any type\n")


@pytest.mark.parametrize("code", [0, 1, 2, 5])
def test_exit_hook(capsys, code):
    with pytest.raises(SystemExit) as caught:
        hooking.exit_hook("over", return_code=code)
    assert caught.value.code == code
    assert capsys.readouterr() == ("", "over\n")


def test_exit_hook_skips_what_follows_by_default():
    with pytest.raises(SystemExit) as caught:
        hooking.exit_hook("over")
    assert caught.value.code == 2


@pytest.mark.parametrize("value", [True, "true", "TRUE", "True", "1", "-1", " 2 ", 7, "1_0"])
def test_true(value):
    assert hooking.tobool(value) is True


@pytest.mark.parametrize(
    "value",
    [None, False, "", "false", "yes", "on", "t", "0", " 0", 0, "true ", "1.0", [], float("inf")],
)
def test_false(value):
    assert hooking.tobool(value) is False
