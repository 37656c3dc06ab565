"""Pages that were photographed turned or upside down."""

from collections.abc import Sequence

from indexer.demo.canvas import Canvas
from indexer.demo.scenes.scene import scenes


def recipe() -> Canvas:
    """A recipe, a quarter turn to the left."""
    return (
        _page(
            "红烧排骨的做法",
            [
                "排骨一斤半，冷水下锅焯水",
                "锅中放少许油，加冰糖炒糖色",
                "倒入排骨翻炒至表面金黄",
                "加葱姜、八角、桂皮和料酒",
                "放两勺生抽，一勺老抽",
                "加开水没过排骨，小火炖四十分钟",
                "大火收汁，撒上白芝麻出锅",
            ],
        )
        .age(61)
        .turn(90)
    )


def minutes() -> Canvas:
    """The minutes of a meeting, upside down."""
    return (
        _page(
            "第三次业主委员会会议纪要",
            [
                "时间：2024年4月21日下午两点",
                "地点：社区活动室二楼",
                "出席：委员七人，列席居民十五人",
                "议题一：电梯更换方案表决通过",
                "议题二：地下车库照明改造",
                "议题三：绿化带补种桂花树",
                "下次会议定于五月十九日",
            ],
        )
        .age(62)
        .turn(180)
    )


def prescription() -> Canvas:
    """A prescription, a quarter turn to the right."""
    return (
        _page(
            "门诊处方笺",
            [
                "科室：呼吸内科",
                "诊断：急性支气管炎",
                "阿莫西林胶囊 0.5g",
                "每日三次，饭后服用",
                "氨溴索口服液 100ml",
                "多饮水，忌辛辣，三天后复诊",
                "医师：孙国平",
            ],
        )
        .age(63)
        .turn(270)
    )


def letter() -> Canvas:
    """An English letter, upside down."""
    return (
        _page(
            "Dear neighbours,",
            [
                "we will be renovating our kitchen",
                "from Monday 3 June until Friday.",
                "Drilling is limited to 9 am - 5 pm.",
                "We apologise for the noise and",
                "the dust in the stairwell.",
                "Please call 555-0142 if it is",
                "too much. Anna and Piotr, flat 11",
            ],
        )
        .age(64)
        .turn(180)
    )


def _page(title: str, text: Sequence[str]) -> Canvas:
    page = Canvas(1080, 1440, "#fbfbf8")
    page.write((540, 110), title, 56, "#222222", "serif", "ma")
    for row, line in enumerate(text):
        page.write((120, 290 + row * 145), line, 46, "#222222")
    return page


SCENES = scenes("turned", recipe, minutes, prescription, letter)
