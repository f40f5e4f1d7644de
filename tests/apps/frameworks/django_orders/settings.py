"""The project keeps all that it stores in MongoDB."""

import os

SECRET_KEY = "of tests"
USE_TZ = True
TIME_ZONE = "Europe/Madrid"
INSTALLED_APPS = ["orders"]
ROOT_URLCONF = "orders.views"
ALLOWED_HOSTS = ["testserver"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
DATABASES: dict[str, object] = {}
MONGODB = {"URI": os.environ["MONGODB_URI"], "DB": os.environ["MONGODB_DB"]}
