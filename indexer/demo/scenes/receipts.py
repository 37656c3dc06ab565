"""Invoices, till receipts and tickets."""

from collections.abc import Sequence

from indexer.demo.canvas import Canvas
from indexer.demo.scenes.scene import scenes


def invoice() -> Canvas:
    """An electronic VAT invoice."""
    page = Canvas(1680, 1080, "#fffdf7")
    ink, rules = "#7a3b1d", "#b08968"
    page.write((840, 60), "浙江增值税电子普通发票", 54, ink, "serif", "ma")
    page.pen.line((560, 135, 1120, 135), rules, 3)
    for row, (label, value) in enumerate(
        [
            ("发票代码", "033002100511"),
            ("发票号码", "68142957"),
            ("开票日期", "2024年03月18日"),
            ("校验码", "72913 46608 53174"),
        ]
    ):
        page.write((1180, 55 + row * 44), f"{label}：{value}", 24, ink)
    page.pen.rectangle((60, 250, 1620, 980), outline=rules, width=3)
    page.write((90, 270), "购买方名称：杭州云栖文化传播有限公司", 30, ink)
    page.write((90, 320), "纳税人识别号：91330106MA27XK5P2T", 30, ink)
    page.table(
        (60, 390),
        [520, 200, 200, 200, 200, 240],
        70,
        [
            ["货物或应税劳务名称", "规格型号", "数量", "单价", "税率", "金额"],
            ["会议服务费", "两天", "1", "2830.19", "6%", "2830.19"],
            ["办公用纸", "A4", "24", "22.50", "13%", "540.00"],
            ["打印机硒鼓", "CF388", "3", "186.00", "13%", "558.00"],
        ],
        24,
        ink=ink,
        rules=rules,
    )
    page.write((90, 700), "价税合计（大写）", 30, ink)
    page.write((420, 700), "肆仟贰佰肆拾元柒角叁分", 32)
    page.write((1180, 700), "（小写）¥4240.73", 32)
    page.write((90, 780), "销售方名称：杭州西溪会展服务有限公司", 30, ink)
    page.write((90, 830), "开户行：招商银行杭州解放支行", 30, ink)
    page.write((90, 910), "收款人：陈晓燕", 24, ink)
    page.write((560, 910), "复核：周建国", 24, ink)
    page.write((1000, 910), "开票人：林志强", 24, ink)
    return page.age(1, noise=3, blur=0.3)


def supermarket() -> Canvas:
    """A till receipt on a wooden table."""
    return (
        _till(
            "华联超市",
            ["文三路店  电话0571-88230916", "单号 20240518003276", "收银员 0412"],
            [
                ("东北大米5kg", "39.90"),
                ("鲜牛奶950ml", "18.50"),
                ("红富士苹果", "12.76"),
                ("抽纸三层10包", "29.90"),
                ("酱油500ml", "9.80"),
                ("鸡蛋30枚", "25.60"),
            ],
            [("合计", "136.46"), ("微信支付", "136.46"), ("找零", "0.00")],
            ["2024-05-18 19:42:07", "谢谢惠顾，欢迎下次光临"],
        )
        .lie_on("#8a6a4a", 110)
        .lean(2)
        .age(2)
    )


def restaurant() -> Canvas:
    """A bill from a Sichuan restaurant, seen at an angle."""
    return (
        _till(
            "蜀香园川菜馆",
            ["桌号：B17", "人数：4位", "下单时间 12:08"],
            [
                ("水煮牛肉", "68.00"),
                ("宫保鸡丁", "42.00"),
                ("麻婆豆腐", "26.00"),
                ("干煸四季豆", "32.00"),
                ("米饭", "12.00"),
                ("酸梅汤一扎", "28.00"),
            ],
            [("消费金额", "208.00"), ("会员优惠", "-20.80"), ("实收", "187.20")],
            ["凭此小票可开具发票", "订餐热线：028-86541277"],
        )
        .lie_on("#54606b", 120)
        .recede(0.06)
        .age(3)
    )


def taxi() -> Canvas:
    """A taxi receipt."""
    page = Canvas(820, 1180, "#f4f1e4")
    page.write((410, 50), "上海市出租汽车统一发票", 46, "#a03028", "serif", "ma")
    page.write((410, 125), "发票联", 38, "#a03028", "serif", "ma")
    rows = [
        ("电话", "021-62580000"),
        ("车号", "沪E·N7203"),
        ("证号", "338914"),
        ("日期", "2023-11-06"),
        ("上车", "22:14"),
        ("下车", "22:51"),
        ("单价", "2.70元"),
        ("里程", "18.3km"),
        ("等候", "00:06:25"),
        ("金额", "73.00元"),
    ]
    for row, (label, value) in enumerate(rows):
        page.write((110, 220 + row * 82), label, 40)
        page.write((360, 220 + row * 82), value, 42)
    page.write((410, 1070), "手写无效", 36, "#a03028", "sans", "ma")
    return page.age(4, noise=8)


def handwritten_receipt() -> Canvas:
    """A receipt from a receipt book, with a seal."""
    page = Canvas(1440, 820, "#fbf6e9")
    page.write((720, 50), "收款收据", 60, "#234a7c", "serif", "ma")
    page.pen.line((520, 135, 920, 135), "#234a7c", 3)
    page.write((1040, 140), "No.0036182", 36, "#b02a2a")
    page.write((120, 145), "2024年1月9日", 36)
    page.write((120, 250), "今收到", 42, "#234a7c", "serif")
    page.write((420, 245), "幸福里小区三单元502室", 46)
    page.write((120, 360), "交来", 42, "#234a7c", "serif")
    page.write((420, 355), "全年物业管理费及车位费", 46)
    page.write((120, 470), "人民币大写", 42, "#234a7c", "serif")
    page.write((420, 465), "叁仟陆佰伍拾元整", 46)
    page.write((120, 590), "收款单位盖章", 38, "#234a7c", "serif")
    page.write((880, 590), "经手人：吴秀兰", 42)
    page.pen.ellipse((480, 560, 700, 780), outline="#c93a3a", width=6)
    page.write((590, 670), "财务专用章", 32, "#c93a3a", "serif", "mm")
    return page.lean(-1.5).age(5)


def train_ticket() -> Canvas:
    """A railway ticket."""
    page = Canvas(1300, 810, "#d6e8f2")
    page.write((70, 50), "Z26C081537", 38, "#b03a2e")
    page.write((1230, 50), "检票：12B", 38, anchor="ra")
    page.write((220, 150), "南京南站", 58, face="serif")
    page.write((650, 140), "G7025", 58, anchor="ma")
    page.write((860, 150), "苏州北站", 58, face="serif")
    page.pen.line((540, 225, 770, 225), "black", 4)
    page.write((220, 240), "Nanjingnan", 32)
    page.write((860, 240), "Suzhoubei", 32)
    page.write((70, 330), "2024年02月13日", 44)
    page.write((500, 330), "08:36开", 44)
    page.write((860, 330), "07车13F号", 44)
    page.write((70, 420), "￥99.5元", 46)
    page.write((860, 420), "二等座", 44)
    page.write((70, 510), "限乘当日当次车", 38)
    page.write((70, 600), "3201021987****4826", 40)
    page.write((620, 600), "许文静", 42)
    page.write((70, 710), "买票请到12306 发货请到95306", 26, "#444444")
    return page.age(6, noise=5)


def _till(
    shop: str,
    header: Sequence[str],
    items: Sequence[tuple[str, str]],
    totals: Sequence[tuple[str, str]],
    footer: Sequence[str],
) -> Canvas:
    paper = Canvas(760, 330 + 58 * (len(header) + len(items) + len(totals) + len(footer)), "#f8f8f5")
    paper.write((380, 40), shop, 54, "#222222", anchor="ma")
    y = 130
    for text in header:
        paper.write((50, y), text, 26, "#333333")
        y += 58
    for block in (items, totals):
        paper.pen.line((50, y + 10, 710, y + 10), "#777777", 2)
        y += 34
        for label, value in block:
            paper.write((50, y), label, 36, "#222222")
            paper.write((710, y), value, 36, "#222222", anchor="ra")
            y += 58
    y += 26
    for text in footer:
        paper.write((380, y), text, 26, "#333333", anchor="ma")
        y += 58
    return paper


SCENES = scenes("receipt", invoice, supermarket, restaurant, taxi, handwritten_receipt, train_ticket)
