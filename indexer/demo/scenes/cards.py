"""Cards, plates and numbers."""

from indexer.demo.canvas import Canvas
from indexer.demo.scenes.scene import scenes


def business_card() -> Canvas:
    """A business card on a desk."""
    card = Canvas(1180, 700, "#ffffff")
    card.pen.rectangle((0, 0, 40, 700), "#d35400")
    card.write((110, 80), "郑海涛", 60)
    card.write((420, 105), "高级产品经理", 40, "#555555")
    card.write((110, 210), "深圳市启明星软件有限公司", 46)
    for row, line in enumerate(
        ["手机：13800002579", "邮箱：zheng.ht@example.com", "地址：南山区科苑路18号", "邮编：518057"]
    ):
        card.write((110, 340 + row * 82), line, 40, "#333333")
    return card.lie_on("#3d4852", 110).lean(-3).age(81)


def identity_card() -> Canvas:
    """Something like an identity card, of nobody."""
    card = Canvas(1280, 810, "#dfeaf0")
    card.pen.rectangle((900, 140, 1180, 520), "#b8c4cc")
    card.pen.ellipse((980, 190, 1100, 330), "#8d99a2")
    card.pen.pieslice((930, 340, 1150, 700), 180, 360, "#8d99a2")
    blue = "#2b6ca3"
    for y, label, value in [(90, "姓名", "方若琳"), (190, "性别", "女"), (290, "出生", "1993年7月26日")]:
        card.write((80, y), label, 38, blue)
        card.write((240, y - 4), value, 46)
    card.write((520, 190), "民族", 38, blue)
    card.write((680, 186), "汉", 46)
    card.write((80, 400), "住址", 38, blue)
    card.write((240, 396), "湖北省武汉市武昌区", 44)
    card.write((240, 466), "东湖路142号6栋301室", 44)
    card.write((80, 660), "公民身份号码", 38, blue)
    card.write((400, 652), "420106199307260000", 52)
    return card.age(82, noise=4)


def plates() -> Canvas:
    """Number plates of parked cars."""
    view = Canvas(1440, 1440, "#6e7b85")
    for row, (text, colour, ink) in enumerate(
        [
            ("京A·83K65", "#1f4fa3", "white"),
            ("粤B·D27419", "#5fbf77", "black"),
            ("川G·52M78", "#1f4fa3", "white"),
            ("浙C·91H36", "#f2b705", "black"),
        ]
    ):
        y = 90 + row * 330
        view.pen.rounded_rectangle((200, y - 30, 1240, y + 260), 50, "#39424a")
        view.pen.rounded_rectangle((480, y + 60, 960, y + 190), 12, colour, ink, 4)
        view.write((720, y + 125), text, 60, ink, anchor="mm")
    return view.age(83, noise=9, blur=0.8)


def telephones() -> Canvas:
    """Small advertisements at a bus stop."""
    view = Canvas(1440, 1080, "#a9a29a")
    for index, (service, number) in enumerate(
        [
            ("疏通下水道", "15900003864"),
            ("专业开锁换锁", "025-52376198"),
            ("空调清洗加氟", "13600007251"),
            ("钢琴一对一教学", "18700009436"),
            ("二手家电回收", "0551-63489072"),
            ("搬家拉货", "400-618-2975"),
        ]
    ):
        x, y = 70 + index % 2 * 680, 60 + index // 2 * 335
        view.pen.rectangle((x, y, x + 620, y + 290), ["#ffffff", "#fff3b0", "#ffd6d6"][index % 3])
        view.write((x + 310, y + 50), service, 54, "#b71c1c", anchor="ma")
        view.write((x + 310, y + 165), number, 54, "#111111", anchor="ma")
    return view.lean(1.5).age(84, noise=8)


def membership() -> Canvas:
    """A membership card of a gymnasium."""
    card = Canvas(1300, 820, "#101820")
    card.pen.polygon([(800, 0), (1300, 0), (1300, 820), (500, 820)], "#1d3557")
    card.write((90, 90), "飞跃健身俱乐部", 54, "#f1c40f")
    card.write((90, 180), "GOLD MEMBER", 44, "#f1c40f")
    card.write((90, 380), "6217 4903 8852 0716", 60, "white")
    card.write((90, 540), "有效期至 2026/11", 42, "#d0d7de")
    card.write((90, 640), "持卡人 谢婉清", 42, "#d0d7de")
    card.write((1210, 700), "客服 0755-26914380", 38, "#d0d7de", anchor="ra")
    return card.recede(0.05).age(85, noise=5)


SCENES = scenes("card", business_card, identity_card, plates, telephones, membership)
