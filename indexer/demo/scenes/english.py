"""English only."""

from indexer.demo.canvas import Canvas
from indexer.demo.scenes.scene import scenes


def coffee() -> Canvas:
    """A receipt from a coffee bar."""
    paper = Canvas(760, 1240, "#fbfaf6")
    paper.write((380, 50), "HARBOUR COFFEE", 52, anchor="ma")
    paper.write((380, 130), "14 Quay Street, Dublin", 34, anchor="ma")
    paper.write((60, 220), "Order 2317", 36)
    paper.write((700, 220), "Table 6", 36, anchor="ra")
    items = [
        ("Flat white", "3.80"),
        ("Oat latte", "4.35"),
        ("Almond croissant", "3.95"),
        ("Scrambled eggs", "9.50"),
        ("Orange juice", "4.20"),
    ]
    for row, (name, price) in enumerate(items):
        paper.write((60, 330 + row * 80), name, 38)
        paper.write((700, 330 + row * 80), price, 38, anchor="ra")
    paper.pen.line((60, 740, 700, 740), "#555555", 2)
    for row, (name, price) in enumerate([("Subtotal", "25.80"), ("Service 10%", "2.58"), ("Total EUR", "28.38")]):
        paper.write((60, 770 + row * 80), name, 40)
        paper.write((700, 770 + row * 80), price, 40, anchor="ra")
    paper.write((380, 1050), "Paid by Mastercard 5527", 34, anchor="ma")
    paper.write((380, 1130), "Thank you, see you soon!", 36, anchor="ma")
    return paper.lie_on("#7b5b43", 90).lean(-2).age(41)


def concert() -> Canvas:
    """A poster for a concert."""
    page = Canvas(1080, 1520, "#1b1b3a")
    page.pen.ellipse((190, 380, 890, 1080), "#e07a5f")
    page.pen.ellipse((330, 520, 750, 940), "#f2cc8f")
    page.write((540, 90), "SUMMER NIGHT JAZZ", 60, "#f4f1de", "serif", "ma")
    page.write((540, 190), "Riverside Park Amphitheatre", 44, "#f4f1de", "serif", "ma")
    page.write((540, 1140), "Saturday 20 July 2024", 50, "#f4f1de", anchor="ma")
    page.write((540, 1230), "Doors open at 7:30 pm", 44, "#f2cc8f", anchor="ma")
    page.write((540, 1320), "Tickets from $25", 44, "#f2cc8f", anchor="ma")
    page.write((540, 1410), "www.nightjazz.example", 38, "#f4f1de", anchor="ma")
    return page.age(42, noise=5)


def book() -> Canvas:
    """A page of a book."""
    page = Canvas(1200, 1600, "#f6efe0")
    page.write((600, 110), "CHAPTER SEVEN", 46, "#2b2b2b", "serif", "ma")
    page.write((600, 190), "The Lighthouse Keeper", 44, "#2b2b2b", "serif", "ma")
    text = [
        "The storm had kept the boats in harbour for",
        "three days, and on the fourth morning the",
        "old man climbed the stairs as he always did,",
        "one hand on the cold iron rail. From the",
        "gallery he could see the whole of the bay,",
        "grey and quiet under a sky without birds.",
        "Nobody had written to him since the spring.",
        "He wound the clock, trimmed the lamp, and",
        "sat down to enter the weather in his book.",
    ]
    for row, line in enumerate(text):
        page.write((150, 340 + row * 105), line, 42, "#1f1f1f", "serif")
    page.write((600, 1480), "128", 38, "#2b2b2b", "serif", "ma")
    return page.lean(1).age(43, noise=6)


def slide() -> Canvas:
    """A slide of a talk."""
    page = Canvas(1920, 1080, "white")
    page.pen.rectangle((0, 0, 1920, 150), "#0f4c81")
    page.write((80, 45), "Quarterly Results 2024", 58, "white")
    for row, text in enumerate(
        [
            "Revenue grew by 14% year over year",
            "Operating costs fell below forecast",
            "Three new offices opened in Asia",
            "Customer satisfaction reached 92 points",
        ]
    ):
        y = 250 + row * 150
        page.pen.ellipse((90, y + 18, 114, y + 42), "#0f4c81")
        page.write((150, y), text, 48, "#222222")
    for bar, tall in enumerate([180, 260, 230, 390, 470]):
        page.pen.rectangle((1250 + bar * 120, 860 - tall, 1330 + bar * 120, 860), "#7fb2e5")
    page.write((80, 980), "Finance Department", 38, "#666666")
    page.write((1840, 980), "Page 12", 38, "#666666", anchor="ra")
    return page


def boarding_pass() -> Canvas:
    """A boarding pass."""
    page = Canvas(1500, 640, "#fdfdfd")
    page.pen.rectangle((0, 0, 1500, 110), "#c8102e")
    page.write((50, 28), "BOARDING PASS", 48, "white")
    page.write((1450, 28), "PACIFIC AIR", 46, "white", anchor="ra")
    for x, y, label, value in [
        (50, 150, "Passenger", "MORGAN / ELLEN"),
        (620, 150, "From", "VANCOUVER"),
        (1080, 150, "To", "HONG KONG"),
        (50, 320, "Flight", "PA 836"),
        (390, 320, "Date", "27 SEP"),
        (720, 320, "Boarding", "13:45"),
        (1080, 320, "Gate", "D67"),
        (50, 480, "Seat", "24K"),
        (390, 480, "Class", "ECONOMY"),
        (1080, 480, "Ticket", "160 4482 7390"),
    ]:
        page.write((x, y), label, 22, "#777777")
        page.write((x, y + 40), value, 40)
    return page.age(44, noise=5)


SCENES = scenes("english", coffee, concert, book, slide, boarding_pass)
