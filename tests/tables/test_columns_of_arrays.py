"""May a column hold a picture or a series in each row?"""

import numpy as np
import pytest

from rai_bigmodel.errors import InputError
from rai_bigmodel.subject import inputs_of
from rai_bigmodel.tables import Table

IMAGES = np.arange(5 * 2 * 3 * 4, dtype=np.uint8).reshape(5, 2, 3, 4)


def table(images: np.ndarray = IMAGES, **more: np.ndarray) -> Table:
    columns = {"image": images, "y": np.array([0.0, 1, 0, 1, 1]), **more}
    return Table(name="t", columns=columns, roles={"feature": ("image", *more), "truth": ("y",)})


def test_the_digest_tells_pictures_apart_by_values_and_by_shape_and_not_by_type() -> None:
    """One pixel, or the same numbers as other pictures, are other rows; the type of number says nothing."""
    one = IMAGES.copy()
    one[4, 1, 2, 3] += 1

    assert table().digest == table(IMAGES.astype(np.float64)).digest
    assert table().digest != table(one).digest
    assert table().digest != table(IMAGES.reshape(5, 2, 4, 3)).digest


def test_a_large_column_is_digested_in_parts_as_in_one() -> None:
    """More numbers than are turned at once, missing ones and both zeros among them: as the same rows of one column."""
    values = np.random.default_rng(0).normal(size=150_000)
    values[::7], values[1::7] = np.nan, -0.0
    flat = Table(name="t", columns={"x": values})
    zeros = np.where(values == 0, 0.0, values)

    assert flat.digest == Table(name="t", columns={"x": zeros}).digest
    zeros[-1] = 5.0
    assert flat.digest != Table(name="t", columns={"x": zeros}).digest


def test_rows_are_taken_whole() -> None:
    """By index, with their outcomes."""
    some = table().take(np.array([3, 0]), name="some")

    assert np.array_equal(some.columns["image"], IMAGES[[3, 0]])
    assert some.columns["y"].tolist() == [1, 0]
    assert some.labels("y") == ("0", "1")


def test_pictures_have_no_names_and_are_no_attribute() -> None:
    """One clear line with the shape."""
    with pytest.raises(InputError, match=r"'image' holds arrays of shape \(2, 3, 4\)"):
        table().groups(("image",))


def test_pictures_alone_are_asked_about_as_the_array_and_beside_others_as_columns() -> None:
    """What a model of pictures is handed."""
    assert inputs_of(table()) is IMAGES
    assert sorted(inputs_of(table(age=np.arange(5.0)))) == ["age", "image"]
