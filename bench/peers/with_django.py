"""Django REST framework with Simple JWT, on gunicorn with a persistent connection per thread."""

import os
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings

url = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    SECRET_KEY=os.environ["SECRET_KEY"],
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path.lstrip("/"),
            "USER": url.username,
            "HOST": parse_qs(url.query).get("host", [url.hostname])[0],
            "CONN_MAX_AGE": 600,
        }
    },
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "rest_framework_simplejwt.authentication.JWTAuthentication"
        ],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application
from django.db import models
from django.db.models import Q
from django.urls import path
from rest_framework import generics, serializers
from rest_framework_simplejwt.authentication import JWTAuthentication


class Person(models.Model):
    email = models.CharField(max_length=255)
    username = models.CharField(max_length=50)
    full_name = models.CharField(max_length=255, null=True)
    is_active = models.BooleanField()
    is_superuser = models.BooleanField()
    is_verified = models.BooleanField()
    created_at = models.DateTimeField()
    is_authenticated = True

    class Meta:
        app_label = "bench"
        db_table = "users"
        managed = False


class Authentication(JWTAuthentication):
    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.user_model = Person


class PersonSerializer(serializers.ModelSerializer):
    class Meta:
        model = Person
        fields = (
            "id", "email", "username", "full_name", "is_active", "is_superuser", "is_verified",
            "created_at",
        )  # fmt: skip


class Me(generics.RetrieveAPIView):
    authentication_classes = (Authentication,)
    serializer_class = PersonSerializer

    def get_object(self) -> Person:
        return self.request.user


class One(generics.RetrieveAPIView):
    authentication_classes = (Authentication,)
    serializer_class = PersonSerializer
    queryset = Person.objects.all()


class Search(generics.ListAPIView):
    authentication_classes = (Authentication,)
    serializer_class = PersonSerializer

    def get_queryset(self) -> object:
        q = self.request.query_params["q"]
        found = Q(email__icontains=q) | Q(username__icontains=q) | Q(full_name__icontains=q)
        return Person.objects.filter(found)[:20]


urlpatterns = [
    path("api/v1/users/me", Me.as_view()),
    path("api/v1/users/search", Search.as_view()),
    path("api/v1/users/<int:pk>", One.as_view()),
]
app = get_wsgi_application()
