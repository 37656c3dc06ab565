"""Chinese and English on the same surface."""

from indexer.demo.canvas import Canvas
from indexer.demo.scenes.scene import scenes


def shampoo() -> Canvas:
    """The back of a bottle."""
    page = Canvas(1080, 1440, "#e9f5db")
    page.pen.rounded_rectangle((120, 80, 960, 1360), 60, "white")
    for row, (text, size) in enumerate(
        [
            ("青柠薄荷洗发露", 56),
            ("Lime & Mint Shampoo", 46),
            ("净含量：500毫升", 42),
            ("Ingredients", 44),
            ("水、椰油酰胺、薄荷醇", 40),
            ("生产批号 LM240311", 40),
            ("保质期三年", 42),
            ("Made in Guangzhou", 40),
            ("消费者热线400-820-1635", 40),
            ("避免接触眼睛", 42),
        ]
    ):
        page.write((540, 140 + row * 118), text, size, "#2d4a22", anchor="ma")
    return page.age(51)


def architecture() -> Canvas:
    """A technical slide."""
    page = Canvas(1920, 1080, "#0d1117")
    page.write((100, 70), "微服务架构 Microservices", 56, "#e6edf3")
    boxes = [
        (100, 260, "网关 Gateway", "#1f6feb"),
        (720, 260, "用户服务 User API", "#238636"),
        (1340, 260, "订单 Order", "#8957e5"),
        (100, 560, "消息队列 Kafka", "#9e6a03"),
        (720, 560, "缓存 Redis 7.2", "#da3633"),
        (1340, 560, "数据库 MySQL", "#1b7c83"),
    ]
    for x, y, text, colour in boxes:
        page.pen.rounded_rectangle((x, y, x + 480, y + 180), 20, colour)
        page.write((x + 240, y + 90), text, 46, "white", anchor="mm")
    page.write((100, 850), "QPS峰值12000，P99延迟小于80ms", 46, "#7ee787")
    page.write((100, 950), "部署于Kubernetes集群", 42, "#8b949e")
    return page


def cafe_menu() -> Canvas:
    """A bilingual menu."""
    page = Canvas(1200, 1500, "#faf3e8")
    page.write((600, 70), "半日闲 Slow Coffee", 56, "#5d4037", "serif", "ma")
    for row, (name, english, price) in enumerate(
        [
            ("美式咖啡", "Americano", "22"),
            ("拿铁", "Caffe Latte", "28"),
            ("手冲耶加雪菲", "Yirgacheffe", "38"),
            ("抹茶千层", "Matcha Cake", "36"),
            ("提拉米苏", "Tiramisu", "42"),
            ("柚子气泡水", "Yuzu Soda", "26"),
            ("热巧克力", "Hot Chocolate", "32"),
        ]
    ):
        y = 240 + row * 150
        page.write((110, y), name, 48, "#3e2723")
        page.write((560, y + 4), english, 42, "#8d6e63", "serif")
        page.write((1090, y), price, 48, "#3e2723", anchor="ra")
    page.write((600, 1370), "WiFi密码: slow2468", 42, "#5d4037", anchor="ma")
    return page.recede(0.04).age(52)


def laptop_label() -> Canvas:
    """The type label below a laptop."""
    page = Canvas(1080, 810, "#2e2e30")
    for row, text in enumerate(
        [
            "笔记本电脑 Notebook Computer",
            "型号 Model: XPro 14 Gen3",
            "输入 Input: 20V 3.25A",
            "序列号 S/N: PF4KD7W2",
            "制造日期 2023/08/25",
            "中国制造 MADE IN CHINA",
            "联保服务网站 support.example.cn",
        ]
    ):
        page.write((120, 70 + row * 95), text, 28, "#d8d8d8")
    return page.lean(-2).age(53, noise=5)


SCENES = scenes("mixed", shampoo, architecture, cafe_menu, laptop_label)
