"""The words of a date: what a person may type to find a photo taken on it."""

from datetime import date

_MONTHS = (
    *(("一", "january"), ("二", "february"), ("三", "march"), ("四", "april"), ("五", "may"), ("六", "june")),
    *(
        ("七", "july"),
        ("八", "august"),
        ("九", "september"),
        ("十", "october"),
        ("十一", "november"),
        ("十二", "december"),
    ),
)


def words(day: date) -> list[str]:
    """The words of a date, in canonical form (see tokens.py), so that 2024-05-01 and 2024/05/01 are `2024 05 01`.

    Each is matched as a whole: a year is no match for each of its digits.
    """
    year, month, number = f"{day.year:04}", day.month, day.day
    chinese, english = _MONTHS[month - 1]
    found = [
        *(year, f"{year}年", f"{month}月", f"{month}月{number}日", f"{chinese}月"),
        *(f"{year}年{month}月", f"{year}年{month:02}月"),
        *(f"{year}年{month}月{number}日", f"{year}年{month:02}月{number:02}日"),
        *(f"{year} {month:02}", f"{year} {month:02} {number:02}", f"{year} {month}", f"{year} {month} {number}"),
        *(f"{year}{month:02}{number:02}", english, f"{english} {year}", f"{english} {number}"),
    ]
    return list(dict.fromkeys(found))
