"""Brush, pen and ornamental type, as far as fonts can show them."""

import numpy as np

from indexer.demo.canvas import Canvas
from indexer.demo.scenes.scene import scenes


def poem() -> Canvas:
    """A Tang poem on yellowed paper."""
    page = Canvas(1080, 1440, "#efe2c0")
    page.pen.rectangle((60, 60, 1020, 1380), outline="#8b5e34", width=6)
    page.write((540, 150), "登鹳雀楼", 60, "#2a1a0a", "serif", "ma")
    page.write((540, 270), "唐代 王之涣", 44, "#5a3a1a", "serif", "ma")
    for row, line in enumerate(["白日依山尽", "黄河入海流", "欲穷千里目", "更上一层楼"]):
        page.write((540, 440 + row * 170), line, 60, "#2a1a0a", "serif", "ma")
    page.pen.rectangle((800, 1180, 920, 1300), "#b3261e")
    page.write((860, 1240), "墨香", 44, "#f6e9cf", "serif", "mm")
    return page.age(71, noise=7)


def note() -> Canvas:
    """A note on the refrigerator."""
    rng = np.random.default_rng(72)
    page = Canvas(1000, 1000, "#fff59d")
    for row, line in enumerate(
        ["妈妈，我去奶奶家了", "晚饭在蒸锅里", "作业已经写完", "钥匙放在鞋柜上面", "八点之前回来", "爱你的朵朵"]
    ):
        page.scribble((90, 110 + row * 135), line, 56, "#1a237e", rng)
    return page.lie_on("#dfe6e9", 90).lean(3).age(72)


def shopping_list() -> Canvas:
    """A shopping list on ruled paper."""
    rng = np.random.default_rng(73)
    page = Canvas(900, 1300, "#fdfdfa")
    for y in range(170, 1300, 110):
        page.pen.line((0, y, 900, y), "#a9c6e8", 2)
    for row, line in enumerate(
        [
            "周末采购清单",
            "五花肉两斤",
            "西红柿六个",
            "土豆和洋葱",
            "豆瓣酱一瓶",
            "洗衣液",
            "猫粮三公斤",
            "生日蜡烛",
            "电池5号",
        ]
    ):
        page.scribble((110, 90 + row * 110), line, 54, "#222222", rng)
    return page.age(73)


def theatre() -> Canvas:
    """A poster set in serifs."""
    page = Canvas(1080, 1528, "#4a0e0e")
    page.pen.rectangle((50, 50, 1030, 1478), outline="#d4af37", width=8)
    for y, text, size in [
        (140, "国家大剧院", 50),
        (280, "经典话剧", 46),
        (400, "茶馆", 60),
        (560, "编剧：老舍", 46),
        (680, "导演：焦菊隐", 46),
        (860, "十月十二日至二十日", 50),
        (980, "每晚七点半", 48),
        (1160, "票价：180/380/680", 48),
        (1300, "售票热线010-66550000", 44),
    ]:
        page.write((540, y), text, size, "#f2d98d", "serif", "ma")
    return page.age(74, noise=6)


SCENES = scenes("handwriting", poem, note, shopping_list, theatre)
