"""Signs, notices and shop fronts."""

from indexer.demo.canvas import Canvas
from indexer.demo.scenes.scene import scenes


def motorway() -> Canvas:
    """A green sign above a motorway."""
    view = Canvas(1920, 1280, "#9cc4e4")
    view.pen.rectangle((0, 900, 1920, 1280), "#6d6f73")
    view.pen.polygon([(860, 900), (1060, 900), (1920, 1280), (0, 1280)], "#4b4d50")
    view.pen.rectangle((300, 160, 1620, 800), "#0b6b3a", "white", 10)
    view.write((960, 240), "沪宁高速", 60, "white", anchor="ma")
    view.write((420, 380), "无锡东", 60, "white")
    view.write((1100, 380), "出口 1000m", 56, "white")
    view.write((420, 500), "锡山大道", 56, "white")
    view.write((1100, 500), "Xishan Ave", 50, "white")
    view.write((420, 630), "前方服务区 26km", 54, "white")
    view.write((1250, 640), "限速120", 52, "#ffe14d")
    return view.age(11, noise=7, blur=0.7)


def noodle_shop() -> Canvas:
    """A shop front in the evening."""
    view = Canvas(1600, 1200, "#2a1f1a")
    view.pen.rectangle((80, 100, 1520, 360), "#a81e1e", "#e8c15a", 8)
    view.write((800, 140), "老马家兰州牛肉面", 60, "#ffe9a8", "serif", "ma")
    view.write((800, 260), "始于一九八六年", 44, "#ffe9a8", "serif", "ma")
    view.pen.rectangle((140, 480, 760, 1100), "#f3e7cf")
    for row, text in enumerate(["营业时间", "早 6:30至14:00", "晚 17:00至21:30", "周一店休"]):
        view.write((200, 520 + row * 130), text, 52, "#5b2c12")
    view.pen.rectangle((860, 480, 1460, 1100), "#f3e7cf")
    for row, text in enumerate(["外卖电话", "0931-8467215", "堂食满30减5", "加面免费"]):
        view.write((920, 520 + row * 130), text, 52, "#5b2c12")
    return view.age(12, noise=9, blur=0.8)


def notice() -> Canvas:
    """A notice in the stairwell, photographed from below."""
    page = Canvas(1080, 1440, "#fdfdfd")
    page.write((540, 90), "停水通知", 60, "#c0261d", anchor="ma")
    text = [
        "各位业主：",
        "因市政管网改造施工，本小区将于",
        "6月12日上午9点至下午4点停水。",
        "请提前做好储水准备，外出时务必",
        "检查并关闭家中水龙头，以免恢复",
        "供水后造成不必要的损失。",
        "如有疑问请致电物业服务中心：",
        "025-83317640",
    ]
    for row, line in enumerate(text):
        page.write((110, 260 + row * 100), line, 50)
    page.write((970, 1180), "翠湖花园物业管理处", 44, anchor="ra")
    page.write((970, 1260), "二〇二四年六月十日", 44, anchor="ra")
    return page.lie_on("#b7b2a6", 100).recede(0.08).age(13)


def underground() -> Canvas:
    """A sign in an underground station."""
    view = Canvas(1920, 900, "#1c2230")
    view.pen.rectangle((0, 120, 1920, 560), "#12161f")
    view.pen.ellipse((120, 200, 320, 400), "#e4002b")
    view.write((220, 300), "10", 60, "white", anchor="mm")
    view.write((380, 190), "换乘十号线", 58, "white")
    view.write((380, 290), "Transfer to Line 10", 42, "#c8d0dc")
    view.write((1120, 190), "往虹桥火车站方向", 58, "white")
    view.write((1120, 290), "Hongqiao Railway Station", 42, "#c8d0dc")
    view.write((380, 440), "首班车 05:27", 44, "#ffd400")
    view.write((1120, 440), "末班车 22:45", 44, "#ffd400")
    view.write((960, 700), "请站在黄线以外候车", 56, "#f2f2f2", anchor="ma")
    return view.age(14, noise=8, blur=0.6)


def warning() -> Canvas:
    """A yellow warning on a fence."""
    view = Canvas(1200, 1440, "#7c8a6b")
    for x in range(0, 1200, 60):
        view.pen.line((x, 0, x, 1440), "#6a775b", 8)
    view.pen.rectangle((140, 200, 1060, 1240), "#f7c600", "black", 14)
    view.pen.polygon([(600, 270), (440, 540), (760, 540)], "black")
    view.pen.rectangle((590, 350, 610, 460), "#f7c600")
    view.pen.ellipse((588, 480, 612, 504), "#f7c600")
    for row, (text, size) in enumerate(
        [("高压危险", 60), ("禁止攀爬", 60), ("DANGER HIGH VOLTAGE", 48), ("国家电网", 50), ("抢修电话 95598", 50)]
    ):
        view.write((600, 600 + row * 120), text, size, anchor="ma")
    return view.lean(-3).age(15, noise=10, blur=0.8)


SCENES = scenes("sign", motorway, noodle_shop, notice, underground, warning)
