"""A marketplace's people, products and orders, kept with MongoEngine."""

from __future__ import annotations

import enum
import uuid
import warnings
from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

from bson import DBRef, ObjectId
from mongoengine import (
    BinaryField,
    BooleanField,
    CachedReferenceField,
    ComplexDateTimeField,
    DateField,
    DateTimeField,
    DecimalField,
    DictField,
    Document,
    DynamicDocument,
    DynamicEmbeddedDocument,
    DynamicField,
    EmailField,
    EmbeddedDocument,
    EmbeddedDocumentListField,
    EnumField,
    FileField,
    FloatField,
    GenericReferenceField,
    IntField,
    LazyReferenceField,
    ListField,
    LongField,
    MapField,
    PointField,
    Q,
    ReferenceField,
    SequenceField,
    SortedListField,
    StringField,
    URLField,
    UUIDField,
    connect,
    disconnect_all,
    queryset_manager,
    register_connection,
)
from mongoengine.connection import get_connection, get_db
from mongoengine.context_managers import no_dereference, query_counter, switch_collection, switch_db
from mongoengine.fields import GridFSProxy
from mongoengine.queryset import CASCADE, DENY, NULLIFY, PULL, QuerySet
from pymongo import ReadPreference

from tests.apps.libraries import Drivers, Journal


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class GivenFile(GridFSProxy):
    """A file in this package's GridFS: PyMongo's takes PyMongo's databases only."""

    @property
    def fs(self) -> Any:
        from connect.eaas.mongodb.gridfs import GridFS

        return GridFS(get_db(self.db_alias), self.collection_name)


class PeopleQuerySet(QuerySet):
    def adults(self) -> Any:
        return self.filter(age__gte=18)


class Person(Document):
    name = StringField(required=True, max_length=50, unique=True)
    age = IntField(min_value=0, db_field="years")
    email = EmailField()
    born = DateField()
    level = EnumField(Level, default=Level.LOW)
    friends = ListField(ReferenceField("self", reverse_delete_rule=PULL))
    meta = {
        "collection": "people",
        "allow_inheritance": True,
        "queryset_class": PeopleQuerySet,
        "indexes": ["age", ("-age", "name"), {"fields": ["email"], "sparse": True, "name": "mail"}, "name"],
        "ordering": ["name"],
        "index_background": True,
    }


class Employee(Person):
    salary = DecimalField(precision=2)
    manager = ReferenceField("Employee", reverse_delete_rule=NULLIFY)


class Address(EmbeddedDocument):
    street = StringField()
    place = PointField()


class Extra(DynamicEmbeddedDocument):
    meta = {"allow_inheritance": True}


class Product(Document):
    code = StringField(primary_key=True)
    number = SequenceField()
    title = StringField()
    price = DecimalField(precision=4, force_string=False)
    weight = FloatField()
    size = LongField()
    tags = SortedListField(StringField())
    attributes = MapField(IntField())
    anything = DictField()
    homepage = URLField()
    key = UUIDField(binary=True)
    picture = BinaryField(max_bytes=100)
    manual = FileField()
    meta = {"collection": "products"}

    @queryset_manager
    def cheap(self, queryset: Any) -> Any:
        return queryset.filter(price__lt=5)


class Line(EmbeddedDocument):
    product = ReferenceField(Product, dbref=True)
    quantity = IntField()


class Order(Document):
    buyer = ReferenceField(Person, reverse_delete_rule=CASCADE)
    seller = LazyReferenceField(Person, passthrough=True, reverse_delete_rule=DENY)
    cached = CachedReferenceField(Product, fields=["title"])
    about = GenericReferenceField()
    lines = EmbeddedDocumentListField(Line)
    address = DynamicField()
    extra = DynamicField()
    created = DateTimeField()
    exact = ComplexDateTimeField()
    paid = BooleanField(default=False)
    views = IntField(default=0)
    meta = {"collection": "orders"}


class Event(DynamicDocument):
    meta = {"collection": "events", "max_documents": 100, "max_size": 2_000_000}


class Archived(Document):
    title = StringField()
    meta = {"collection": "archive", "db_alias": "archive"}


START = datetime(2024, 5, 1, 8, 30, 15, 123000)


def people_live(journal: Journal) -> None:
    ada = Person(name="Ada", age=36, email="ada@example.com", born=date(1815, 12, 10)).save()
    boss = Employee(name="Boss", age=60, salary=Decimal("99.995")).save()
    Employee(name="Clerk", age=17, salary=Decimal("10"), manager=boss, friends=[ada, boss]).save()
    journal.note("people", [person.to_json() for person in Person.objects])
    journal.note("kinds", [type(person).__name__ for person in Person.objects.order_by("-age")])
    journal.refused("a second Ada", lambda: Person(name="Ada").save())
    journal.refused("no name", lambda: Person(age=3).save())
    journal.refused("a number for a name", lambda: Person.objects.insert([Person(name="X"), Person(name="Ada")]))
    journal.note("after that", Person.objects.count())
    Person.objects.insert([Person(name=f"P{n:02}", age=n) for n in range(30)], load_bulk=False)
    journal.note(
        "inserted and loaded", [one.name for one in Person.objects.insert([Person(name="Q1"), Person(name="Q2")])]
    )
    journal.note(
        "queries",
        [
            [one.name for one in Person.objects(Q(age__gt=25) & (Q(name__startswith="P") | Q(level=Level.HIGH)))],
            [one.name for one in Person.objects(name__icontains="ADA")],
            Person.objects.adults().count(),
            Person.objects(age__in=[1, 2, 3], name__ne="P02").count(),
            Person.objects(friends=ada).first().name,
            Person.objects.get(name="Ada").age,
            Person.objects(__raw__={"years": {"$mod": [10, 0]}}).count(),
            Person.objects(age__exists=False).scalar("name").as_pymongo().count(),
            list(Person.objects[3:6].values_list("name", "age")),
            Person.objects[2].name,
            [one.name for one in Person.objects.skip(2).limit(2)],
            [one.age for one in Person.objects.only("age").order_by("-age")[:2]],
            Person.objects.exclude("age").first().age,
            bool(Person.objects(name="nobody")),
            Person.objects(name="nobody").first(),
            Employee.objects.count(),
            sorted(Person.objects.distinct("age"))[:3],
            Person.objects(age__lte=5).average("age"),
            Person.objects.sum("age"),
            sorted(Person.objects.in_bulk([ada.id, boss.id]).values(), key=lambda one: str(one.name))[1].name,
            len(list(Person.objects(age__gte=0).no_cache().batch_size(7).timeout(False))),
            list(Person.objects.hint("mail").comment("with a hint").as_pymongo()[:1]),
            [one.name for one in Person.objects.read_preference(ReadPreference.PRIMARY_PREFERRED).limit(1)],
            [
                one.name
                for one in Person.objects.read_concern({"level": "majority"}).collation({"locale": "en"}).limit(1)
            ],
            Person.objects.with_id(ada.id).name,
        ],
    )
    journal.refused("not one", lambda: Person.objects.get(name__startswith="P"))
    journal.refused("none", lambda: Person.objects.get(name="nobody"))
    journal.note("explained", bool(Person.objects(age=3).explain()))
    people = Person.objects(age__lt=3)
    journal.note("iterated twice", [[one.name for one in people], len(people), [one.name for one in people.clone()]])
    people.rewind()
    journal.note("next", next(people).name)
    journal.note(
        "updates",
        [
            Person.objects(age__lt=5).update(inc__age=100, set__level=Level.HIGH),
            Person.objects(name="P07").update_one(push__friends=ada, full_result=True).modified_count,
            Person.objects(name="New").upsert_one(set__age=1).name,
            Person.objects(name="P08").modify(new=True, set__email="p8@example.com").email,
            Person.objects(name="P09").modify(remove=True).name,
            Person.objects(name="nobody").modify(set__age=1),
            Person.objects(name="P10").update(unset__age=1, upsert=False),
            Person.objects(name="Up").update(set__age=2, upsert=True, full_result=True).upserted_id is not None,
            Person.objects(name="P11").update(__raw__={"$set": {"years": 5}}),
            Person.objects(name="P12").update(__raw__=[{"$set": {"years": {"$add": ["$years", 1]}}}]),
            Person.objects(age__gt=120).delete(),
            Person.objects(name="P13").delete(write_concern={"w": 1}),
        ],
    )
    clerk = Employee.objects.get(name="Clerk")
    journal.note("dereferenced", [clerk.manager.name, [friend.name for friend in clerk.friends]])
    with no_dereference(Employee):
        journal.note("not dereferenced", isinstance(Employee.objects.get(name="Clerk").manager, DBRef | ObjectId))
    journal.note("selected", [[friend.name for friend in one.friends] for one in Employee.objects.select_related()])
    clerk.age = 18
    clerk.friends.pop()
    journal.note("changed", clerk._get_changed_fields())
    clerk.save()
    clerk.modify({"age": 18}, age=19)
    journal.note("refused to modify", clerk.modify({"age": 18}, age=20))
    clerk.update(set__name="Clerk II")
    journal.note("reloaded", clerk.reload().name)
    boss.delete()
    journal.note("nullified", Employee.objects.get(name="Clerk II").manager)
    journal.note("saved with a condition", Person.objects.get(name="Ada").save(save_condition={"age": 36}).name)
    journal.note(
        "aggregated",
        list(
            Person.objects(age__lt=20).aggregate(
                [{"$group": {"_id": "$level", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}]
            )
        ),
    )


def products_and_orders_live(journal: Journal) -> None:
    ada = Person.objects.get(name="Ada")
    seller = Person(name="Seller").save()
    manual = Product(
        code="PRD-1",
        title="First",
        price=Decimal("1.2345"),
        weight=0.5,
        size=2**40,
        tags=["b", "a"],
        attributes={"width": 3},
        anything={"x": [1, {"y": None}]},
        homepage="https://example.com/",
        key=uuid.UUID(int=7),
        picture=b"\x00\x01",
    ).save()
    Product(code="PRD-2", title="Second", price=Decimal("7")).save()
    journal.note("products", [product.to_json() for product in Product.objects.order_by("code")])
    journal.note("cheap", [product.code for product in Product.cheap])
    order = Order(
        buyer=ada,
        seller=seller,
        cached=manual,
        about=manual,
        created=START,
        exact=START,
        lines=[Line(product=manual, quantity=2), Line(product="PRD-2", quantity=1)],
        address=Address(street="Ring 1", place=[16.37, 48.2]),
        extra=Extra(colour="red", deep={"a": 1}),
    )
    order.lines[1].product = Product.objects.get(code="PRD-2")
    order.save()
    found = Order.objects.get(id=order.id)
    journal.note(
        "order",
        [
            found.buyer.name,
            found.seller.fetch().name,
            found.about.title,
            found.cached.title,
            [(line.product.title, line.quantity) for line in found.lines],
            found.address.street,
            found.extra.colour,
            found.created,
            found.exact,
            found.lines.filter(quantity=2).count(),
        ],
    )
    found.lines.create(product=manual, quantity=9)
    found.lines.filter(quantity=1).delete()
    found.save()
    Order.objects(lines__quantity=9).update(set__lines__S__quantity=10, inc__views=1)
    Order.objects(id=order.id).update(push__lines=Line(product=manual, quantity=3))
    Order.objects(id=order.id).update(pull__lines__quantity=2)
    journal.refused("seller is needed", seller.delete)
    Product.objects.get(code="PRD-1").update(set__title="Renamed")
    ada.delete()
    journal.note("cascaded", Order.objects.count())


def files_are_kept(journal: Journal) -> None:
    product = Product.objects.get(code="PRD-2")
    product.manual.put(BytesIO(b"x" * 300_000), content_type="text/plain", filename="manual.txt")
    product.save()
    found = Product.objects.get(code="PRD-2").manual
    journal.note("a file", [found.length, found.content_type, found.filename, found.read(5), len(found.read())])
    product.manual.replace(BytesIO(b"short"), filename="short.txt")
    product.save()
    written = Product.objects.get(code="PRD-1")
    written.manual.new_file(filename="written.txt")
    written.manual.write(b"in ")
    written.manual.write(b"parts")
    written.manual.close()
    written.save()
    journal.note("files", [Product.objects.get(code=code).manual.read() for code in ("PRD-1", "PRD-2")])
    product.manual.delete()
    product.save()
    journal.note("no file", Product.objects.get(code="PRD-2").manual.read())


def places_change(journal: Journal) -> None:
    Archived(title="kept").save()
    with switch_db(Product, "archive") as elsewhere:
        elsewhere(code="PRD-9", title="elsewhere").save()
        journal.note("elsewhere", elsewhere.objects.count())
    with switch_collection(Person, "people_2") as others:
        others(name="Other").save()
    journal.note("here", [Product.objects(code="PRD-9").count(), Person.objects(name="Other").count()])
    journal.note("using", Product.objects.using("archive").count())
    Event(kind="started", deep={"a": [1, 2]}).save()
    Event(kind="ended", at=START).save()
    journal.note("events", [event.kind for event in Event.objects])
    journal.note("a capped collection", get_db()["events"].options())
    journal.note(
        "indexes",
        [Person.list_indexes(), Person.compare_indexes(), sorted(Person._get_collection().index_information())],
    )
    Person.create_index(["born"], unique=False)
    Person.ensure_indexes()
    journal.note("collections", sorted(get_db().list_collection_names()))
    Archived.drop_collection()
    get_connection("archive").drop_database(get_db("archive").name + "_none")


async def main(drivers: Drivers, journal: Journal) -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    options: dict[str, Any] = {"uuidRepresentation": "standard"}
    if drivers.given:
        options["mongo_client_class"] = drivers.sync_client
        Product.manual.proxy_class = GivenFile
    connect(drivers.database, host=drivers.uri, **options)
    register_connection("archive", db=f"{drivers.database}_archive", host=drivers.uri, **options)
    people_live(journal)
    products_and_orders_live(journal)
    files_are_kept(journal)
    places_change(journal)
    with query_counter() as queries:
        Product.objects.first()
        journal.note("counted", int(queries))
    disconnect_all()
