"""Lines to write in the pictures of `bench.reading`: many different ones, of many characters.

A few sentences again and again would measure those few: a character that a recogniser takes for another would be an
error in every picture.
"""

import re

import numpy as np

_POOLS = {
    "sky": "天气很好 阴转多云 有小雨 刮大风 下了雪 阳光明媚",
    "place": "公园 图书馆 博物馆 植物园 体育馆 天文台 美术馆 古镇 湖边 老城墙 果园 茶山 动物园 科技馆 湿地",
    "walk": "散步 钓鱼 拍照 野餐 写生 骑车 看花 划船 爬山 放风筝",
    "firm": """
        北京科技 上海远洋贸易 深圳华强电子 杭州西湖茶业 广州南方印刷 成都锦里餐饮 武汉长江航运 青岛海尔家具
        苏州丝绸纺织 厦门鼓浪旅游 西安古城建筑 哈尔滨冰雪食品""",
    "meeting": "项目进度 质量检查 年度预算 安全生产 新品发布 家长 董事 业主 班主任 采购",
    "please": """
        旅客提前进站检票 妥善保管个人物品 排队等候叫号 佩戴安全帽进入 保持车厢清洁 随手关灯节约用电
        刷卡后取走票据 将餐具放回原处 看管好您的小孩 拾起脚边的纸屑 靠右侧通行 出示身份证件 抬头看路 轻声关门""",
    "forbidden": """
        吸烟 攀爬 倚靠车门 投喂动物 在此停车 乱扔垃圾 践踏草坪 携带宠物入内 大声喧哗 触摸展品 翻越栏杆 游泳
        堆放杂物""",
    "city": "上海 南京 重庆 昆明 沈阳 福州 兰州 济南 郑州 合肥 贵阳 拉萨 桂林 洛阳 绍兴 烟台 徐州 襄阳 赣州",
    "province": "浙江 江苏 湖北 四川 云南 陕西 辽宁 广东 贵州 福建 山东 河南",
    "street": "解放 中山 人民 建设 和平 胜利 桃源 鼓楼 延安 淮海 虹桥 长宁 学府 滨江 龙井 望京 白塔",
    "dish": """
        红烧牛肉面 宫保鸡丁 鱼香肉丝 麻婆豆腐 糖醋排骨 清蒸鲈鱼 酸辣土豆丝 蒜蓉西兰花 扬州炒饭 葱油拌面 羊肉泡馍
        小笼汤包 皮蛋瘦肉粥 干锅花菜 剁椒鱼头 梅菜扣肉 番茄炒蛋 桂花糯米藕 佛跳墙 煎饼果子 酱爆茄子 凉拌黄瓜
        香菇青菜""",
    "month": "1 2 3 4 5 6 7 8 9 10 11 12",
    "side": "东 西 南 北 东南 西北",
    "goods": """
        苹果 香蕉 葡萄 草莓 橙子 核桃 茶叶 大米 面粉 鸡蛋 豆浆 牛奶 蜂蜜 海带 虾仁 毛巾 雨伞 皮鞋 钢笔 台灯 电池
        围巾 玩具 棉被 剪刀 花瓶 酱油 陈醋""",
    "service": "支持外卖配送 凭票入场对号入座 免费提供热水 可以刷银行卡 周一休息 承接宴席 修理钟表 配钥匙擦皮鞋",
    "name": """
        王建国 李秀英 张伟 刘洋 陈静 杨帆 赵雪梅 黄志强 周晓燕 吴桂兰 徐鹏 孙丽 胡俊杰 郭婷 何勇 罗敏 梁宇""",
    "prize": "一等奖 优秀奖 作文比赛冠军 三好学生称号 短跑银牌 奖学金 书法金奖",
    "clinic": "儿科 内科 眼科 骨科 牙科 皮肤科 中医 针灸推拿 急诊",
    "saying": """
        海内存知己天涯若比邻 桃李不言下自成蹊 千里之行始于足下 读万卷书行万里路 春眠不觉晓处处闻啼鸟 温故而知新
        举头望明月低头思故乡 欲穷千里目更上一层楼 谁知盘中餐粒粒皆辛苦 野火烧不尽春风吹又生 家和万事兴 学而时习之
        大漠孤烟直长河落日圆 少壮不努力老大徒伤悲 纸上得来终觉浅 会当凌绝顶 拾金不昧是美德 三人行必有我师
        柳暗花明又一村""",
    "english": """
        Departure-Gate.4# Coffee&Tea Open-until.10:#0 Wet-floor Please-wait-here Room.3## Sale-ends-Sunday
        Fresh-Bread Platform.# Keep-the-door-closed Museum-of-Art Save.3#% Handle-with-care Made-in-Shanghai""",
    "column": """
        海鲜大酒楼 春风送暖入屠苏 公园入口 龙凤呈祥 老北京涮羊肉 万事如意 人民医院急诊部 天道酬勤 欢迎光临 家和万事兴
        厚德载物 宁静致远 修理钟表眼镜 岁岁平安 百年老店 名师书法课堂 江山如画 出入请走侧门 四海为家 物华天宝
        祖传中医正骨 满园春色""",
    "sign": """
        出口 入口 茶 酒 公司 海鲜 元 拆 福 当心 医院 厕所 售票处 牛肉面 超市 网吧 停车场 水果店 洗手间 收银台
        二手房 药房 书店 警务室 安检 邮局 银行 学校 食堂 理发 五金 花店 客运站 候诊区 电梯 行李寄存 EXIT Open STOP
        Hotel SALE Taxi Library Coffee PUSH Bank Police Museum Bakery Lift Gate""",
}

_PATTERNS = (
    *("今天{sky}我们去{place}{walk}", "{firm}有限公司", "发票抬头{firm}", "{place}开放通知", "{meeting}会议纪要"),
    *("请{please}", "禁止{forbidden}", "请勿{forbidden}", "{city}{street}路##号", "身份证住址{province}省", "{dish}"),
    *("{dish}和{dish}", "{dish}##元一份", "合计1##.#0元", "开票日期202#年{month}月2#日", "电话1380013####"),
    *("{city}火车站{side}出口", "营业时间早8:#0至晚10:#0", "{goods}每斤#.#元", "{goods}和{goods}", "本店{service}"),
    *("{name}同学获{prize}", "{name}医生{clinic}门诊", "{saying}", "{saying}", "{city}到{city}的车票", "{name}收"),
    *("Invoice-No.2025####", "Total-amount:3#.#0", "{english}", "{english}", "{place}第#展厅", "{goods}第#柜台"),
)
"""`{pool}` stands for one of its words, `#` for a digit."""

WORDS = _POOLS["sign"].split()
"""What stands alone on a sign."""

COLUMNS = _POOLS["column"].split()
"""What is written downwards."""

CHARACTERS = "1234567890ABEFGHJKMPRST茶酒拆福药米面春当雅空收喜静寿车店书鱼票龙家"
"""Those that can stand alone."""


def lines(rng: np.random.Generator, count: int) -> list[str]:
    """So many different lines, of up to 14 Chinese characters or 20 letters each."""
    made: dict[str, None] = {}
    while len(made) < count:
        made[_filled(str(rng.choice(_PATTERNS)), rng)] = None
    return list(made)


def _filled(pattern: str, rng: np.random.Generator) -> str:
    words = re.sub(r"\{(\w+)\}", lambda pool: str(rng.choice(_POOLS[pool[1]].split())), pattern)
    return re.sub("#", lambda _: str(rng.integers(10)), words)
