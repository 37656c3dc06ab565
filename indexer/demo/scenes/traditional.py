"""Traditional characters: Hong Kong and Taiwan."""

from indexer.demo.canvas import Canvas
from indexer.demo.scenes.scene import scenes


def tea_restaurant() -> Canvas:
    """The menu of a Hong Kong tea restaurant."""
    page = Canvas(1200, 1560, "#fff7e6")
    page.write((600, 70), "金華冰室", 60, "#9c1c1c", "serif-tc", "ma")
    page.write((600, 160), "全日供應", 42, "#9c1c1c", "sans-tc", "ma")
    dishes = [
        ("菠蘿油配奶茶", "$38"),
        ("鮮蝦雲吞麵", "$52"),
        ("滑蛋叉燒飯", "$58"),
        ("沙嗲牛肉即食麵", "$46"),
        ("乾炒牛河", "$62"),
        ("西多士", "$30"),
        ("鴛鴦（凍加三元）", "$24"),
        ("檸檬茶", "$22"),
        ("蛋撻兩件", "$16"),
    ]
    for row, (dish, price) in enumerate(dishes):
        page.write((110, 280 + row * 115), dish, 48, "#3a2a1a", "sans-tc")
        page.write((1090, 280 + row * 115), price, 48, "#9c1c1c", "sans-tc", "ra")
    page.write((600, 1410), "最低消費每位二十五元", 40, "#3a2a1a", "sans-tc", "ma")
    return page.age(31)


def street() -> Canvas:
    """A street sign in Taipei."""
    view = Canvas(1440, 1080, "#bcd0da")
    view.pen.rectangle((0, 820, 1440, 1080), "#8a8f8c")
    view.pen.rectangle((180, 180, 1260, 520), "#1a5fa8", "white", 8)
    view.write((720, 220), "忠孝東路四段", 60, "white", "sans-tc", "ma")
    view.write((720, 320), "Sec. 4, Zhongxiao E. Rd.", 44, "white", "sans-tc", "ma")
    view.write((720, 410), "往國父紀念館", 50, "white", "sans-tc", "ma")
    view.pen.rectangle((380, 600, 1060, 760), "#f5f5f5")
    view.write((720, 640), "機車停車格 請勿占用", 48, "#222222", "sans-tc", "ma")
    return view.lean(2).age(32, noise=8)


def uniform_invoice() -> Canvas:
    """A Taiwanese uniform invoice."""
    page = Canvas(760, 1400, "#fafafa")
    page.write((380, 50), "全聯福利中心", 50, face="sans-tc", anchor="ma")
    page.write((380, 135), "電子發票證明聯", 48, face="sans-tc", anchor="ma")
    page.write((380, 220), "113年05-06月", 52, face="sans-tc", anchor="ma")
    page.write((380, 310), "RK-47281906", 54, face="sans-tc", anchor="ma")
    page.write((60, 420), "2024-06-03 20:17:45", 36, face="sans-tc")
    page.write((60, 490), "隨機碼 3185", 36, face="sans-tc")
    page.write((700, 490), "總計 427", 36, face="sans-tc", anchor="ra")
    page.write((60, 560), "賣方16740494", 36, face="sans-tc")
    rng_bars = [3, 5, 2, 7, 4, 2, 6, 3, 5, 2, 4, 7, 3, 2, 6, 5, 2, 3, 7, 4, 5, 2, 6, 3, 4, 5, 3, 6]
    x = 80
    for wide in rng_bars:
        page.pen.rectangle((x, 640, x + wide * 2, 740), "black")
        x += wide * 2 + 12
    items = [("高麗菜", "65"), ("無糖豆漿", "48"), ("鱸魚片", "179"), ("衛生紙", "99"), ("塑膠袋", "36")]
    for row, (name, price) in enumerate(items):
        page.write((60, 800 + row * 80), name, 40, face="sans-tc")
        page.write((700, 800 + row * 80), price, 40, face="sans-tc", anchor="ra")
    page.write((380, 1250), "退貨請攜帶證明聯正本", 36, face="sans-tc", anchor="ma")
    return page.age(33, noise=7)


def library() -> Canvas:
    """A library's rules."""
    page = Canvas(1440, 1080, "#f7faf5")
    page.write((720, 60), "圖書館閱覽須知", 58, "#22543d", "serif-tc", "ma")
    rules = [
        "一、憑借書證入館，請將手機調為靜音。",
        "二、閱覽室內禁止飲食與大聲喧嘩。",
        "三、報紙雜誌閱畢請歸還原處。",
        "四、每人限借圖書十冊，借期三十天。",
        "五、逾期一日每冊罰款新臺幣五元。",
        "六、遺失書籍應照價賠償。",
        "七、影印資料請遵守著作權法規定。",
    ]
    for row, rule in enumerate(rules):
        page.write((130, 210 + row * 105), rule, 46, "#1a202c", "serif-tc")
    page.write((1310, 970), "開放時間 09:00－21:00", 40, "#22543d", "sans-tc", "ra")
    return page.age(34, noise=5)


def clinic() -> Canvas:
    """A notice at the doctor's, in colours of the nineties."""
    page = Canvas(1080, 1350, "#e6f4f1")
    page.write((540, 80), "仁愛診所", 60, "#0f766e", "sans-tc", "ma")
    rows = [
        ("看診時間", "週一至週六"),
        ("上午診", "八點半到十二點"),
        ("下午診", "三點到六點"),
        ("夜間診", "七點到九點半"),
        ("科別", "耳鼻喉科、內科"),
        ("掛號專線", "(02)2736-5581"),
        ("健保卡", "請隨身攜帶"),
    ]
    for row, (label, value) in enumerate(rows):
        page.write((120, 240 + row * 130), label, 46, "#134e4a", "sans-tc")
        page.write((460, 240 + row * 130), value, 46, "#111111", "sans-tc")
    page.write((540, 1220), "發燒病患請先告知護理師", 42, "#b91c1c", "sans-tc", "ma")
    return page.recede(0.04).age(35)


SCENES = scenes("traditional", tea_restaurant, street, uniform_invoice, library, clinic)
